//! The kernel as a proxy's sink, by nftables.
//!
//! What is there is read first, and only what differs is written, in one transaction. Tables of others are not looked
//! at. A kernel whose tables nobody has changed since is not read again: it numbers every change, and does what it is sent
//! only if the number is still the one that the sender has seen last.

use std::sync::Arc;

use proxy::{RuleSink, SyncKind};
use rules::{Capabilities, ClusterSizes, ClusterView, CompiledNftables, Compiler, NodeFacts};
use ruleset::nft::{
    NftAction, NftFamily, NftOperation, NftTables, NftTransaction, SetOrMap, TableKey, parse,
};

use crate::netlink::{Generation, NetlinkError, Socket, encode};
use crate::{CommitError, LoadError, NftTools, Unencodable};

/// How rules are laid out in a node's tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NftLayout {
    /// As kube-proxy 1.36 does it.
    #[default]
    KubeProxy,
    /// Services are elements of maps, and chains only where they must be.
    Flat,
}

/// How what is to be written gets to the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// As text, by `nft -f`.
    Text,
    /// As the messages that `nft` would make of it; as text where this library cannot make them, or may not send any.
    #[default]
    Netlink,
}

/// Programs a kernel with what a proxy commits.
///
/// A full commit reads what is there and writes what differs; a partial one writes what differs from the commit before, and
/// by netlink only if nobody has changed the kernel's tables since.
#[derive(Debug)]
pub struct NftablesSink {
    tools: NftTools,
    layout: NftLayout,
    transport: Transport,
    compiler: Compiler,
    /// What was committed last: the next is made from it.
    compiled: Option<CompiledNftables>,
    /// What the last commit has left, unless it failed.
    known: Option<Known>,
    unencodable: Option<Unencodable>,
}

/// What the kernel has, as long as nobody changes it.
#[derive(Debug)]
struct Known {
    tables: Arc<NftTables>,
    /// By netlink, how to tell whether somebody has.
    mark: Option<Mark>,
}

/// The generation of the tables that are known, and whom to ask for that of the present ones.
#[derive(Debug)]
struct Mark {
    socket: Socket,
    generation: Generation,
}

/// How often tables are read again because somebody else changed some meanwhile. Then `nft` tries, which does the same.
const RACES_MAX: u32 = 4;

impl NftablesSink {
    /// A sink that runs `tools`, compiles for kernels with these capabilities in kube-proxy's layout, and writes by
    /// netlink.
    #[must_use]
    pub fn new(tools: NftTools, capabilities: Capabilities) -> Self {
        Self {
            tools,
            layout: NftLayout::default(),
            transport: Transport::default(),
            compiler: Compiler::new(capabilities),
            compiled: None,
            known: None,
            unencodable: None,
        }
    }

    /// The same in another layout.
    #[must_use]
    pub fn in_layout(self, layout: NftLayout) -> Self {
        let compiled = None;
        Self {
            layout,
            compiled,
            ..self
        }
    }

    /// The same by another way.
    #[must_use]
    pub fn by_transport(self, transport: Transport) -> Self {
        Self { transport, ..self }
    }

    /// What [`Self::update`] had `nft` do at last because netlink has no form for it here, if there was such a thing since
    /// this was asked last.
    #[must_use]
    pub const fn take_unencodable(&mut self) -> Option<Unencodable> {
        self.unencodable.take()
    }

    /// What has to happen to the kernel so that a proxy's tables are these. Elements that packets have put into sets,
    /// such as the clients that stay with an endpoint, are left alone. A table that has something in it that no proxy
    /// writes is replaced as a whole.
    ///
    /// # Errors
    /// When the present tables cannot be listed.
    pub fn plan(&self, tables: &NftTables) -> Result<NftTransaction, LoadError> {
        self.compare(tables).map(|(_, transaction)| transaction)
    }

    /// Makes a proxy's tables these, all at once, and says what that took. Doing it twice is doing it once.
    ///
    /// # Errors
    /// When the kernel or the tool does not do it: nothing has changed then.
    pub fn load(&self, tables: &NftTables) -> Result<NftTransaction, LoadError> {
        match self.socket() {
            Some(socket) => Ok(self.read_and_write(&socket, tables)?.transaction),
            None => self.load_text(tables),
        }
    }

    /// Takes away what a proxy has written, and says whether there was something. A tool or a part of the kernel that is
    /// missing has left nothing.
    ///
    /// # Errors
    /// When it fails otherwise.
    pub fn leave(&self) -> Result<bool, LoadError> {
        match self.load(&NftTables::new()) {
            Ok(done) => Ok(!done.is_empty()),
            Err(error) if error.is_missing() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Does what [`Self::load`] does, but reads nothing if it is known what is there: by netlink when nobody has changed the
    /// kernel's tables since the last time, by text always after the first time.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn update(&mut self, tables: &Arc<NftTables>) -> Result<NftTransaction, LoadError> {
        // What fails is not known any more.
        if let Some(mut known) = self.known.take() {
            let transaction = NftTransaction::between(&known.tables, tables);
            if known.follow(&self.tools, &transaction, tables)? {
                self.known = Some(known);
                return Ok(transaction);
            }
        }
        self.reread(tables)
    }

    fn reread(&mut self, tables: &Arc<NftTables>) -> Result<NftTransaction, LoadError> {
        let know = |mark| Known {
            tables: Arc::clone(tables),
            mark,
        };
        self.known = None;
        let Some(socket) = self.socket() else {
            let transaction = self.load_text(tables)?;
            self.known = Some(know(None));
            return Ok(transaction);
        };
        let written = self.read_and_write(&socket, tables)?;
        let generation = written.generation;
        self.known = generation.map(|generation| know(Some(Mark { socket, generation })));
        self.unencodable = written.unencodable.or(self.unencodable.take());
        Ok(written.transaction)
    }

    /// The way by netlink, where it is wanted and there is one. Where there is none, a tool says why.
    fn socket(&self) -> Option<Socket> {
        match self.transport {
            Transport::Text => None,
            Transport::Netlink => Socket::open(self.tools.netns()).ok(),
        }
    }

    fn load_text(&self, tables: &NftTables) -> Result<NftTransaction, LoadError> {
        let transaction = self.plan(tables)?;
        write_text(&self.tools, &transaction)?;
        Ok(transaction)
    }

    fn read_and_write(&self, socket: &Socket, tables: &NftTables) -> Result<Written, LoadError> {
        for _ in 0..RACES_MAX {
            let Ok(before) = socket.generation() else {
                break;
            };
            let (present, transaction) = self.compare(tables)?;
            if transaction.is_empty() {
                return Ok(Written::of(transaction, before));
            }
            let batch = match encode(&transaction, &present, before) {
                Ok(batch) => batch,
                Err(unencodable) => {
                    self.tools.load(&transaction.script())?;
                    let after = socket.generation().ok();
                    return Ok(Written {
                        transaction,
                        generation: after.filter(|after| *after == before.next()),
                        unencodable: Some(unencodable),
                    });
                }
            };
            match socket.commit(&batch, &transaction) {
                Ok(()) => return Ok(Written::of(transaction, before.next())),
                Err(NetlinkError::LostRace) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Written {
            transaction: self.load_text(tables)?,
            generation: None,
            unencodable: None,
        })
    }

    /// What is there of a proxy's tables, and what makes it these.
    fn compare(&self, tables: &NftTables) -> Result<(NftTables, NftTransaction), LoadError> {
        let mut operations = Vec::new();
        let mut present = NftTables::new();
        for key in own_tables() {
            let Some(listed) = self.tools.list(&key)? else {
                continue;
            };
            match parse(&listed) {
                Ok(read) => present.tables.extend(read.tables),
                Err(_) => operations.push(NftOperation {
                    table: key,
                    action: NftAction::DeleteTable,
                }),
            }
        }
        forget_what_packets_made(&mut present);
        let rest = NftTransaction::between(&present.canonical(), &tables.canonical());
        let all = operations
            .into_iter()
            .chain(rest.operations().iter().cloned());
        Ok((present, all.collect()))
    }
}

/// What was done after reading.
struct Written {
    transaction: NftTransaction,
    /// That of the tables that are there now; `None` if others may have changed them meanwhile.
    generation: Option<Generation>,
    unencodable: Option<Unencodable>,
}

impl Written {
    const fn of(transaction: NftTransaction, generation: Generation) -> Self {
        Self {
            transaction,
            generation: Some(generation),
            unencodable: None,
        }
    }
}

impl Known {
    /// Does a transaction, which makes the tables these, if they are still what is known; whether they were.
    fn follow(
        &mut self,
        tools: &NftTools,
        transaction: &NftTransaction,
        tables: &Arc<NftTables>,
    ) -> Result<bool, LoadError> {
        let is_done = match &mut self.mark {
            None => write_text(tools, transaction).map(|()| true)?,
            Some(mark) => mark.follow(&self.tables, transaction)?,
        };
        if is_done {
            self.tables = Arc::clone(tables);
        }
        Ok(is_done)
    }
}

impl Mark {
    fn follow(
        &mut self,
        present: &NftTables,
        transaction: &NftTransaction,
    ) -> Result<bool, NetlinkError> {
        if transaction.is_empty() {
            return Ok(self.socket.generation()? == self.generation);
        }
        let Ok(batch) = encode(transaction, present, self.generation) else {
            return Ok(false);
        };
        match self.socket.commit(&batch, transaction) {
            Ok(()) => {}
            Err(NetlinkError::LostRace) => return Ok(false),
            Err(error) => return Err(error),
        }
        self.generation = self.generation.next();
        Ok(true)
    }
}

fn write_text(tools: &NftTools, transaction: &NftTransaction) -> Result<(), LoadError> {
    if !transaction.is_empty() {
        tools.load(&transaction.script())?;
    }
    Ok(())
}

impl RuleSink for NftablesSink {
    type Error = CommitError;

    fn commit(
        &mut self,
        kind: SyncKind,
        node: &Arc<NodeFacts>,
        view: &ClusterView,
        _: ClusterSizes,
    ) -> Result<(), CommitError> {
        let earlier = self.compiled.as_ref();
        let compiled = match self.layout {
            NftLayout::KubeProxy => self.compiler.nftables_after(earlier, view, node),
            NftLayout::Flat => self.compiler.flat_after(earlier, view, node),
        };
        let tables = Arc::clone(&compiled.tables);
        self.compiled = Some(compiled);
        let done = match kind {
            SyncKind::Full => self.reread(&tables),
            SyncKind::Partial => self.update(&tables),
        };
        match done {
            Ok(_) => Ok(()),
            Err(source) => Err(CommitError {
                node: Arc::clone(&node.name),
                source,
            }),
        }
    }
}

/// PROXY-47.
fn own_tables() -> [TableKey; 2] {
    [NftFamily::Ip, NftFamily::Ip6].map(|family| TableKey {
        family,
        name: CompiledNftables::table_name(),
    })
}

fn forget_what_packets_made(tables: &mut NftTables) {
    for table in tables.tables.values_mut() {
        table.sets.for_each_mut(|one| match one {
            SetOrMap::Set(set) if set.options.flags.dynamic => {
                Arc::make_mut(set).elements.clear();
            }
            SetOrMap::Map(map) if map.options.flags.dynamic => {
                Arc::make_mut(map).elements.clear();
            }
            SetOrMap::Set(_) | SetOrMap::Map(_) => {}
        });
    }
}
