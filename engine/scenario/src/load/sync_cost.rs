//! `timing.syncCost`: how long proxies' syncs take.

use control::{Line, ModeCost, ModeCosts, SyncCost};

use crate::cursor::{Cursor, Fields, Read};

/// Reads `model`, a duration, or a mapping from modes to what their syncs cost.
pub(super) fn sync_cost(at: &Cursor<'_>) -> Read<SyncCost> {
    if at.value().is_mapping() {
        return by_mode(at).map(SyncCost::ByMode);
    }
    match at.value().as_str() {
        Some("model") => Ok(SyncCost::Model),
        Some(text) if base::parse_duration(text).is_err() => Err(at.refuse(format!(
            "{text:?} is neither `model` nor a duration such as 20ms"
        ))),
        _ => at.duration().map(SyncCost::Fixed),
    }
}

fn by_mode(at: &Cursor<'_>) -> Read<ModeCosts> {
    const RECORDED: [(&str, ModeCost); 1] = [("model", ModeCost::Recorded)];
    const VARIANTS: [(&str, ModeCost); 3] = [
        ("model", ModeCost::Recorded),
        ("nft", ModeCost::Recorded),
        ("legacy", ModeCost::Legacy),
    ];
    let mut fields = at.fields()?;
    let iptables = mode_cost(&mut fields, "iptables", &VARIANTS);
    let nftables = mode_cost(&mut fields, "nftables", &RECORDED);
    let flat = mode_cost(&mut fields, "flat", &RECORDED);
    let ipvs = mode_cost(&mut fields, "ipvs", &RECORDED);
    fields.finish()?;
    Ok(ModeCosts {
        iptables: iptables?,
        nftables: nftables?,
        flat: flat?,
        ipvs: ipvs?,
    })
}

/// One word of a few, or `{full: {base, perService}, partial: {base, perService}}`.
fn mode_cost(
    fields: &mut Fields<'_>,
    mode: &'static str,
    words: &[(&'static str, ModeCost)],
) -> Read<ModeCost> {
    fields.or(mode, ModeCost::Recorded, |at| {
        if !at.value().is_mapping() {
            return at.word(words);
        }
        let mut fields = at.fields()?;
        let (full, partial) = (fields.need("full", line), fields.need("partial", line));
        fields.finish()?;
        Ok(ModeCost::Linear {
            full: full?,
            partial: partial?,
        })
    })
}

fn line(at: &Cursor<'_>) -> Read<Line> {
    let mut fields = at.fields()?;
    let base = fields.need("base", Cursor::duration);
    let per_service = fields.need("perService", Cursor::duration);
    fields.finish()?;
    Ok(Line {
        base: base?,
        per_service: per_service?,
    })
}
