//! A node in a network namespace of its own, and a proxy on it.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ruleset::Family;
use ruleset::nft::{self, NftTables};
use ruleset::xt::{self, XtTables};

use crate::common::{scratch, stderr, stdout};

/// What to ask for, for this test's own process in a namespace.
pub(crate) const GET: &str = "SWITCHBOARD_TEST_GET";

pub(crate) const HEALTHZ: &str = "127.0.0.1:10256/healthz";
pub(crate) const METRICS: &str = "127.0.0.1:10249/metrics";

/// What every test needs: [`Lab::tables`] asks all of them.
const TOOLS: [&str; 3] = ["nft", "iptables-nft-save", "ip6tables-nft-save"];

/// How long something may take until it is so: also on a slow machine, and with all tests at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node: a network namespace, a folder of manifests, and programs put before those of the machine.
pub(crate) struct Lab {
    label: String,
    name: String,
    pub(crate) folder: PathBuf,
    /// Where programs are looked for that are not in the folder's `bin`.
    path: OsString,
}

/// What a kernel has, as it prints it, understood.
#[derive(Debug, PartialEq)]
pub(crate) struct Tables {
    pub(crate) nft: NftTables,
    pub(crate) iptables: Vec<XtTables>,
}

impl Lab {
    /// `None`, with the reason printed, where this process may not make one. In CI it must.
    pub(crate) fn create(label: &str) -> Option<Self> {
        if !TOOLS.into_iter().all(is_installed) {
            return None;
        }
        let name = format!("sb-proxy-{}-{label}", std::process::id());
        let added = Command::new("ip").args(["netns", "add", &name]).output();
        if !added.as_ref().is_ok_and(|output| output.status.success()) {
            assert!(env::var_os("CI").is_none(), "must run in CI: {added:?}");
            eprintln!("skipped: no network namespace: {added:?}");
            return None;
        }
        let folder = scratch(&format!("proxy-{label}"));
        for part in ["manifests", "bin"] {
            fs::create_dir(folder.join(part)).unwrap();
        }
        let label = label.to_owned();
        let lab = Self {
            label,
            name,
            folder,
            path: env::var_os("PATH").unwrap_or_default(),
        };
        lab.does("ip", "link set lo up");
        lab.does("ip", "address add 10.244.1.1/24 dev lo");
        Some(lab)
    }

    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        // The usual lock file is the whole machine's.
        command.env("XTABLES_LOCKFILE", format!("/run/{}.lock", self.name));
        let own = self.folder.join("bin").into_os_string();
        let both = [own.as_os_str(), self.path.as_os_str()];
        command.env("PATH", both.join(OsStr::new(":")));
        command
    }

    /// Runs a program in here, which must do it.
    #[track_caller]
    pub(crate) fn does(&self, program: &str, arguments: &str) -> String {
        let mut command = self.command(program);
        let output = command.args(arguments.split(' ')).output().unwrap();
        let said = stderr(&output);
        assert!(output.status.success(), "{program} {arguments}: {said}");
        stdout(&output)
    }

    /// From now on the machine has these programs only.
    pub(crate) fn install_only(&mut self, programs: &[&str]) {
        for program in programs {
            let mut folders = env::split_paths(&self.path);
            let found = folders.find_map(|folder| fs::canonicalize(folder.join(program)).ok());
            let place = self.folder.join("bin").join(program);
            std::os::unix::fs::symlink(found.expect("it is installed"), place).unwrap();
        }
        self.path.clear();
    }

    /// Writes or replaces a manifest, as a whole.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let new = self.folder.join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.folder.join("manifests").join(name)).unwrap();
    }

    fn node(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(env!("CARGO_BIN_EXE_switchboard"));
        command.args(["node", "--manifests"]);
        command.arg(self.folder.join("manifests"));
        command.args(["--node-name", "node-a", "--cluster-cidr", "10.244.0.0/16"]);
        command.args(["--iptables", "nft"]).args(arguments);
        command.env("NO_COLOR", "1");
        command
    }

    /// Programs the kernel once.
    #[track_caller]
    pub(crate) fn once(&self, mode: &str) -> String {
        let output = self.node(&["--once", "--mode", mode]).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    }

    /// Why the kernel is not programmed.
    #[track_caller]
    pub(crate) fn refused(&self, mode: &str) -> String {
        let output = self.node(&["--once", "--mode", mode]).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        stderr(&output)
    }

    /// Starts a proxy that looks at its manifests all the time.
    pub(crate) fn start(&self, mode: &str, arguments: &[&str]) -> Proxy {
        let log = self.folder.join("log");
        let mut command = self.node(&["--mode", mode, "--poll", "10ms"]);
        command.args(["--min-sync-period", "0s"]).args(arguments);
        command.stdout(Stdio::null());
        command.stderr(File::create(&log).unwrap());
        let child = command.spawn().unwrap();
        Proxy { child, log }
    }

    /// The status and the body of an answer; `None` where nobody answers.
    pub(crate) fn get(&self, url: &str) -> Option<(u16, String)> {
        let me = env::current_exe().unwrap();
        let mut command = self.command(me.to_str().unwrap());
        command.args(["--exact", "a_client", "--nocapture"]);
        let said = stdout(&command.env(GET, url).output().unwrap());
        let answer = said.split_once("HTTP/1.1 ")?.1;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let body = body.split("\n<end>").next().unwrap();
        Some((head.get(..3)?.parse().unwrap(), body.to_owned()))
    }

    pub(crate) fn status(&self, url: &str) -> Option<u16> {
        self.get(url).map(|(status, _)| status)
    }

    /// The value of a metric.
    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        let (_, text) = self.get(METRICS)?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().parse().ok()
    }

    pub(crate) fn tables(&self) -> Tables {
        let listed = self.does("nft", "list ruleset");
        // Those of iptables-nft are printed as foreign ones.
        let own = listed
            .split("\ntable ")
            .map(|one| one.strip_prefix("table ").unwrap_or(one));
        let own = own.filter(|one| one.split(' ').nth(1) == Some("kube-proxy"));
        let own: String = own.map(|one| format!("table {one}\n")).collect();
        let xt = |program: &str, family| {
            let saved = self.does(program, "-t nat") + &self.does(program, "-t filter");
            let saved = saved + &self.does(program, "-t mangle");
            xt::parse(&saved, family).unwrap()
        };
        Tables {
            nft: nft::parse(&own).unwrap().canonical(),
            iptables: vec![
                xt("iptables-nft-save", Family::V4),
                xt("ip6tables-nft-save", Family::V6),
            ],
        }
    }

    /// What a node has that is programmed with the present manifests for the first time.
    pub(crate) fn fresh(&self, mode: &str) -> Tables {
        let label = format!("{}-fresh", self.label);
        let other = Self::create(&label).expect("there is one already");
        let manifests = other.folder.join("manifests");
        for file in fs::read_dir(self.folder.join("manifests")).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), manifests.join(file.file_name())).unwrap();
        }
        other.once(mode);
        other.tables()
    }

    /// Waits until the kernel has these tables.
    #[track_caller]
    pub(crate) fn until_tables(&self, what: &str, expected: &Tables) {
        until(what, || self.tables() == *expected);
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let mut delete = Command::new("ip");
        drop(delete.args(["netns", "delete", &self.name]).output());
        drop(fs::remove_file(format!("/run/{}.lock", self.name)));
    }
}

/// A proxy that runs; killed when it is dropped.
pub(crate) struct Proxy {
    child: Child,
    log: PathBuf,
}

impl Proxy {
    /// Asks it to end, which it must do well.
    #[track_caller]
    pub(crate) fn end(mut self) {
        let pid = self.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(asked.unwrap().success());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.said());
    }

    /// `kill -9`
    pub(crate) fn kill(self) {
        drop(self);
    }

    /// Waits until it says something.
    #[track_caller]
    pub(crate) fn until_said(&self, what: &str) {
        until(what, || self.said().contains(what));
    }

    /// Waits until its first sync is done. It answers that it is healthy before, too.
    #[track_caller]
    pub(crate) fn until_programmed(&self) {
        self.until_said("full sync done");
    }

    /// What it has complained of.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Waits until something is so.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "a real proxy takes real time")]
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// Puts a program before the machine's, which fails as long as a file is there.
pub(crate) fn breakable(lab: &Lab, program: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let broken = lab.folder.join("broken");
    let path = lab.folder.join("bin").join(program);
    let script = format!(
        "#!/bin/sh\nif [ -e {} ]; then echo 'it is broken' >&2; exit 1; fi\nPATH=${{PATH#*:}}\nexec {program} \"$@\"\n",
        broken.display()
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    broken
}

/// What the process does that [`Lab::get`] starts.
pub(crate) fn get(url: &str) {
    let (address, path) = url.split_once('/').unwrap();
    let Ok(mut stream) = TcpStream::connect(address) else {
        return;
    };
    let request = format!("GET /{path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    println!("{answer}\n<end>");
}

/// Whether a program is installed; if not, that is printed as the reason to skip a test. In CI it must be.
pub(crate) fn is_installed(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    assert!(
        found || env::var_os("CI").is_none(),
        "{program} must be there in CI"
    );
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

/// A folder's file.
pub(crate) fn remove(path: &Path) {
    fs::remove_file(path).unwrap();
}
