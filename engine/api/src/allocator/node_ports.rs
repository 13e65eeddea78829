//! Node ports, those of health checks included.
//!
//! **What.** [`NodePorts`] is one stock for all protocols and both uses: a number is taken once (ALLOC-46, ALLOC-57).
//! **Why.** Numbers come in as Kubernetes has them, any `int32`, so that what is out of range is refused here and
//! nowhere else.
//! **Source of the semantics.** ALLOC-46 … ALLOC-52; S: `pkg/registry/core/service/portallocator/allocator.go`.

use std::ops::RangeInclusive;

use base::Rng;

use super::range::{Range, band};
use super::runs::Runs;

/// Why a port was not given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// ALLOC-52
    #[error("range is full")]
    Full,
    /// ALLOC-51
    #[error("provided port is already allocated")]
    AlreadyAllocated,
    /// ALLOC-50
    #[error("provided port is not in the valid range. The range of valid ports is {first}-{last}")]
    OutOfRange {
        /// The first port that there is.
        first: u16,
        /// The last port that there is.
        last: u16,
    },
}

/// Which node ports are taken.
#[derive(Clone, Debug)]
pub struct NodePorts {
    ports: RangeInclusive<u16>,
    /// `None` when the range is empty.
    range: Option<Range>,
    taken: Runs,
}

impl NodePorts {
    /// All ports of the range are free (`--service-node-port-range`).
    #[must_use]
    pub fn new(ports: RangeInclusive<u16>) -> Self {
        let (first, last) = (u128::from(*ports.start()), u128::from(*ports.end()));
        let range = (first <= last).then(|| Range {
            first,
            last,
            band: band(last - first + 1, 32, 128),
        });
        Self {
            ports,
            range,
            taken: Runs::default(),
        }
    }

    /// Takes a free port, from the dynamic band while it has one (ALLOC-49).
    ///
    /// # Errors
    /// [`PortError::Full`].
    pub fn allocate(&mut self, rng: &mut Rng) -> Result<i32, PortError> {
        let range = self.range.ok_or(PortError::Full)?;
        let number = range.pick(&self.taken, rng).ok_or(PortError::Full)?;
        self.taken.insert(number);
        Ok(i32::try_from(number).expect("ports have 16 bits"))
    }

    /// Takes the port that the user asks for, from either band.
    ///
    /// # Errors
    /// [`PortError::AlreadyAllocated`], [`PortError::OutOfRange`].
    pub fn reserve(&mut self, wanted: i32) -> Result<(), PortError> {
        let out_of_range = PortError::OutOfRange {
            first: *self.ports.start(),
            last: *self.ports.end(),
        };
        let number = u128::try_from(wanted).map_err(|_| out_of_range)?;
        if !self.range.is_some_and(|range| range.contains(number)) {
            return Err(out_of_range);
        }
        if self.taken.insert(number) {
            Ok(())
        } else {
            Err(PortError::AlreadyAllocated)
        }
    }

    /// Gives a port back; one that is free or out of range is left alone.
    pub fn release(&mut self, port: i32) {
        if let Ok(number) = u128::try_from(port) {
            self.taken.remove(number);
        }
    }

    /// The ports that are taken, least first.
    pub fn taken(&self) -> impl Iterator<Item = i32> {
        let port = |number| i32::try_from(number).expect("ports have 16 bits");
        self.taken.iter().map(port)
    }

    /// The first and the last port that there is.
    #[must_use]
    pub fn range(&self) -> &RangeInclusive<u16> {
        &self.ports
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use base::Seed;
    use proptest::prelude::{
        Just, Strategy, prop, prop_assert, prop_assert_eq, prop_oneof, proptest,
    };

    use super::*;

    fn rng() -> Rng {
        Seed::new(7).split("node-ports")
    }

    /// ALLOC-48: the number of ports in the static band of a range of `size` from 30000.
    fn check_band(size: u16, expected: u128) {
        let ports = NodePorts::new(30_000..=30_000 + (size - 1));
        assert_eq!(ports.range.unwrap().band, expected, "{size}");
    }

    #[test]
    fn alloc_46_47_48_worked_numbers() {
        check_band(16, 0);
        check_band(17, 16);
        check_band(100, 16);
        check_band(512, 16);
        check_band(1024, 32);
        check_band(2768, 86);
        check_band(4096, 128);
    }

    /// `recorded/allocation.md`, node-port range 30000-30031.
    #[test]
    fn alloc_49_52_as_recorded_of_32_ports() {
        let mut ports = NodePorts::new(30_000..=30_031);
        let mut rng = rng();
        let given: Vec<i32> = (0..32).map(|_| ports.allocate(&mut rng).unwrap()).collect();
        assert!(given[..16].iter().all(|port| *port >= 30_016), "{given:?}");
        assert!(given[16..].iter().all(|port| *port < 30_016), "{given:?}");
        assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), 32);
        assert_eq!(ports.allocate(&mut rng), Err(PortError::Full));
        assert_eq!(ports.reserve(30_005), Err(PortError::AlreadyAllocated));
        assert_eq!(
            ports.reserve(30_032).unwrap_err().to_string(),
            "provided port is not in the valid range. The range of valid ports is 30000-30031"
        );
        ports.release(30_008);
        assert_eq!(ports.allocate(&mut rng), Ok(30_008));
    }

    #[test]
    fn alloc_49_the_default_range_gives_out_dynamic_ports() {
        let mut ports = NodePorts::new(30_000..=32_767);
        let mut rng = rng();
        for _ in 0..60 {
            assert!(ports.allocate(&mut rng).unwrap() >= 30_086);
        }
    }

    #[test]
    #[expect(clippy::reversed_empty_ranges, reason = "a range may be empty")]
    fn odd_ranges_and_numbers() {
        let mut none = NodePorts::new(2..=1);
        assert_eq!(none.allocate(&mut rng()), Err(PortError::Full));
        assert!(matches!(none.reserve(1), Err(PortError::OutOfRange { .. })));
        let mut all = NodePorts::new(0..=u16::MAX);
        assert!(all.reserve(0).is_ok() && all.reserve(65_535).is_ok());
        for port in [-1, 65_536, i32::MIN, i32::MAX] {
            assert!(matches!(
                all.reserve(port),
                Err(PortError::OutOfRange { .. })
            ));
            all.release(port);
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Allocate,
        Reserve(i32),
        Release(i32),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Allocate),
            1 => (29_998..30_030_i32).prop_map(Step::Reserve),
            2 => (29_998..30_030_i32).prop_map(Step::Release),
        ]
    }

    proptest! {
        #[test]
        fn nothing_is_given_out_twice(seed: u64, steps in prop::collection::vec(step(), 0..200)) {
            let mut ports = NodePorts::new(30_000..=30_019);
            let mut rng = Seed::new(seed).split("node-ports");
            let mut model = BTreeSet::new();
            for step in steps {
                match step {
                    Step::Allocate => match ports.allocate(&mut rng) {
                        Ok(port) => prop_assert!(model.insert(port), "{port} twice"),
                        Err(error) => {
                            prop_assert_eq!(error, PortError::Full);
                            prop_assert_eq!(model.len(), 20);
                        }
                    },
                    Step::Reserve(port) => {
                        let expected = if !(30_000..=30_019).contains(&port) {
                            Err(PortError::OutOfRange { first: 30_000, last: 30_019 })
                        } else if model.insert(port) {
                            Ok(())
                        } else {
                            Err(PortError::AlreadyAllocated)
                        };
                        prop_assert_eq!(ports.reserve(port), expected);
                    }
                    Step::Release(port) => {
                        ports.release(port);
                        model.remove(&port);
                    }
                }
            }
        }
    }
}
