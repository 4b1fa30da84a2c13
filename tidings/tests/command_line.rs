//! The command line as a person uses it: a twin in one terminal, a device and a backend in others, in one folder.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

const TEMPLATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../template.yaml");
/// Nothing takes this long; a test that hangs should report where.
const PATIENCE: Duration = Duration::from_secs(60);

/// One folder, in which all terminals are.
struct Folder(TempDir);

/// A command that keeps running.
struct Terminal {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// The output before the wanted line.
    seen: String,
}

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidings"));
        command.args(arguments).current_dir(self.path()).stdin(Stdio::null()).kill_on_drop(true);
        // The environment of the developer must not affect the tests.
        for variable in [
            "TIDINGS_API_URL",
            "TIDINGS_SOCKET_URL",
            "TIDINGS_APP_KEY",
            "AWS_ENDPOINT_URL",
            "TIDINGS_CONTENT_ROOT_KEYS",
            "TIDINGS_TOKEN_ROOT_KEYS",
            "TIDINGS_LINK_ROOT_KEYS",
        ] {
            command.env_remove(variable);
        }
        command
    }

    fn start(&self, arguments: &[&str]) -> Terminal {
        Terminal::of(&mut self.command(arguments))
    }

    /// A folder below.
    fn below(&self) -> PathBuf {
        let below = self.path().join("src/deep");
        std::fs::create_dir_all(&below).unwrap();
        below
    }

    /// A twin that is up, on free ports.
    async fn up(&self, more: &[&str]) -> Terminal {
        let mut arguments = vec!["up", "--template", TEMPLATE, "--log", "error"];
        for port in ["--http-port", "--socket-port", "--aws-port", "--providers-port", "--console-port"]
            .iter()
            .filter(|port| !more.contains(port))
        {
            arguments.extend([port, "0"]);
        }
        arguments.extend(more);
        let mut twin = self.start(&arguments);
        twin.until("Ctrl-C stops it").await;
        twin
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        tokio::time::timeout(PATIENCE, self.command(arguments).output()).await.unwrap().unwrap()
    }

    /// The standard output of a command that succeeds.
    async fn printed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// The standard error of a command that fails.
    async fn complaint(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        assert!(!output.status.success(), "{arguments:?} succeeded");
        assert!(output.stdout.is_empty(), "a failure prints nothing that a script could take for a result");
        String::from_utf8(output.stderr).unwrap()
    }

    fn json(&self, path: &str) -> Value {
        serde_json::from_slice(&std::fs::read(self.path().join(path)).unwrap()).unwrap()
    }

    fn mode(&self, path: &str) -> u32 {
        std::fs::metadata(self.path().join(path)).unwrap().permissions().mode() & 0o777
    }
}

impl Terminal {
    fn of(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines, seen: String::new() }
    }

    /// The next line that has `wanted` in it.
    async fn until(&mut self, wanted: &str) -> String {
        let reading = async {
            loop {
                let line = self.lines.next_line().await.unwrap();
                let line = line.unwrap_or_else(|| panic!("the command ended without {wanted:?}"));
                if line.contains(wanted) {
                    return line;
                }
                self.seen += &format!("{line}\n");
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.unwrap_or_else(|_| panic!("no {wanted:?}"))
    }

    /// Ctrl-C, and whether it ended well.
    async fn interrupt(mut self) -> bool {
        let id = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().await.unwrap().success());
        tokio::time::timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap().success()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_terminals() {
    let folder = Folder::new();
    let twin = folder.up(&[]).await;
    let mut device = folder.start(&["listen", "--alias", "alice", "--mobile", "+8613800138000"]);
    device.until("connected as device").await;

    let send = ["send", "--to", "alice", "--alert", "Hello", "--extra", r#"{"order":7}"#, "--sender", "Shop"];
    let id = folder.printed(&send).await;
    let line = device.until("Hello").await;
    assert!(line.contains(r#"Shop:  Hello  {"order":7}"#) && line.contains(&id), "{line}");
    let trail = folder.printed(&["trail", &id, "--follow"]).await;
    assert!(trail.contains("alice  confirmed") && trail.contains("posted to device"), "{trail}");
    assert!(device.interrupt().await);

    // While no device listens, the SMS goes out, and the message waits for the device.
    let missed = folder.printed(&["send", "--to", "alice", "--alert", "Later", "--fallback", "sms:0"]).await;
    let trail = folder.printed(&["trail", &missed, "--follow", "--json"]).await;
    assert!(trail.contains(r#""state": "fallback-delivered""#), "{trail}");
    let message: Value =
        serde_json::from_str(&folder.printed(&["listen", "--alias", "alice", "--json", "--count", "1"]).await).unwrap();
    assert_eq!((message["id"].as_str(), message["alert"].as_str()), (Some(missed.as_str()), Some("Later")));

    for (path, mode) in [(".tidings", 0o700), (".tidings/session.json", 0o600), (".tidings/devices/alice.json", 0o600)]
    {
        assert_eq!(folder.mode(path), mode, "{path}");
    }
    assert!(twin.interrupt().await);
    let complaint = folder.complaint(&["send", "--to", "alice", "--alert", "x"]).await;
    assert!(complaint.contains("tidings up"), "{complaint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_of_ones_own() {
    let folder = Folder::new();
    let twin = folder.up(&[]).await;
    let create = ["app", "create", "--name", "Shop", "--id", "shop"];
    let key = folder.printed(&create).await;
    assert!(key.starts_with("td_shop."), "the key alone is on standard output: {key}");
    assert!(folder.complaint(&create).await.contains("already"));
    let id = folder.printed(&["send", "--app-key", &key, "--to", "bob", "--alert", "x"]).await;
    // Other apps cannot read the message.
    assert!(folder.complaint(&["trail", &id]).await.contains("404"));
    assert!(folder.printed(&["trail", &id, "--app-key", &key]).await.contains("bob"));
    let wrong = format!("td_shop.{}", "A".repeat(43));
    assert!(folder.complaint(&["send", "--app-key", &wrong, "--to", "bob", "--alert", "x"]).await.contains("401"));
    assert!(folder.complaint(&["send", "--to", "bob", "--alert", "x", "--ttl", "99999999"]).await.contains("ttl"));
    assert!(twin.interrupt().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn root_keys_are_added_and_retired_and_never_shown() {
    let folder = Folder::new();
    let twin = folder.up(&["--data", "data"]).await;
    let of = |printed: &str| -> Vec<String> {
        printed.lines().map(|line| line.split_once(' ').unwrap().1.trim().to_owned()).collect()
    };
    let shown = folder.printed(&["root-key", "list"]).await;
    assert_eq!(shown, "content  1\ntokens   1\nlinks    1");
    assert!(folder.complaint(&["root-key", "retire", "1"]).await.contains("version 1 is the newest"));
    assert_eq!(of(&folder.printed(&["root-key", "add"]).await), ["1, 2"; 3]);
    assert!(folder.complaint(&["root-key", "retire", "2"]).await.contains("version 2 is the newest"));
    assert!(folder.complaint(&["root-key", "retire", "7"]).await.contains("no root key of version 7"));
    assert_eq!(of(&folder.printed(&["root-key", "retire", "1"]).await), ["2", "2", "1, 2"], "old links still work");
    let mut device = folder.start(&["listen", "--alias", "alice"]);
    device.until("connected as device").await;
    assert_eq!(of(&folder.printed(&["root-key", "retire", "2", "--leaked"]).await), ["3", "3", "1, 3"]);
    let whole = folder.run(&["root-key", "list"]).await;
    let kept = std::fs::read_to_string(folder.path().join("data/secretsmanager.json")).unwrap();
    let secrets: Vec<&str> = kept.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| word.len() == 64).collect();
    assert!(secrets.len() >= 4, "the sets are kept with the data");
    let whole = format!("{whole:?}");
    assert!(secrets.iter().all(|secret| !whole.contains(secret)));
    assert!(device.interrupt().await && twin.interrupt().await);
}

/// The providers of a list, without what else is shown of them.
fn names(list: &str) -> Vec<&str> {
    list.lines().filter_map(|line| line.split(' ').next()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_of_an_app_are_checked_and_never_shown() {
    let folder = Folder::new();
    let twin = folder.up(&["--data", "data"]).await;
    let show = ["app", "providers", "--app", "demo"];
    let all = ["apns", "fcm", "webpush", "mipush", "webhook"];
    let shown = folder.printed(&show).await;
    assert_eq!(names(&shown), all, "the twin's own, until the app has credentials");
    let put = |document: &str| {
        std::fs::write(folder.path().join("mine.json"), document).unwrap();
        ["app", "providers", "--app", "demo", "--file", "mine.json"]
    };
    let wrong = folder.complaint(&put(r#"{"mipush": {"appSecret": "hidden"}}"#)).await;
    assert!(wrong.contains("mine.json: mipush.packageName is missing") && !wrong.contains("hidden"), "{wrong}");
    // The first one creates the secret, later ones replace its value.
    assert_eq!(
        folder.printed(&put(r#"{"mipush": {"appSecret": "hidden", "packageName": "com.example"}}"#)).await,
        "mipush"
    );
    let webhook =
        r#"{"webhook": {"url": "http://127.0.0.1:3000/", "secret": "whsec_dGlkaW5ncyBsb2NhbCB0d2luIHNlY3JldA=="}}"#;
    for _ in 0..2 {
        assert_eq!(folder.printed(&put(webhook)).await, "webhook");
    }
    assert_eq!(folder.printed(&show).await, "webhook");
    let elsewhere = folder.printed(&["app", "providers", "--app", "demo", "--stage", "test"]).await;
    assert_eq!(names(&elsewhere), all, "a stage has secrets of its own");
    let unknown = folder.complaint(&["app", "providers", "--app", "unknown"]).await;
    assert!(unknown.contains("there is no app \"unknown\""), "{unknown}");
    for file in ["data/secretsmanager.json", "data/providers.json"] {
        assert_eq!(folder.mode(file), 0o600, "{file}");
    }
    assert_eq!(folder.printed(&put("{}")).await, "");
    assert!(twin.interrupt().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_go_to_the_stage_that_runs_or_is_named() {
    let folder = Folder::new();
    let twin = folder.up(&["--parameter", "Stage=dev"]).await;
    let session = folder.json(".tidings/session.json");
    let (table, aws) = (session["directoryTable"].as_str().unwrap(), session["awsUrl"].as_str().unwrap());
    std::fs::write(
        folder.path().join("mine.json"),
        r#"{"mipush": {"appSecret": "hidden", "packageName": "com.example"}}"#,
    )
    .unwrap();
    let put = ["app", "providers", "--app", "demo", "--file", "mine.json"];
    let elsewhere = [&put[..], &["--directory-table", table, "--aws-endpoint", aws]].concat();

    let refused = folder.complaint(&elsewhere).await;
    assert!(refused.contains("--stage is missing") && refused.contains("--stage prod"), "{refused}");
    for (arguments, stage) in [(put.to_vec(), "dev"), ([&elsewhere[..], &["--stage", "test"]].concat(), "test")] {
        let written = folder.run(&arguments).await;
        let stderr = String::from_utf8(written.stderr).unwrap();
        assert!(
            written.status.success() && stderr.contains(&format!("secret tidings/{stage}/providers/demo")),
            "{stderr}"
        );
    }
    assert_eq!(folder.printed(&["app", "providers", "--app", "demo"]).await, "mipush");
    let prod = folder.printed(&["app", "providers", "--app", "demo", "--stage", "prod"]).await;
    assert_eq!(names(&prod), ["apns", "fcm", "webpush", "mipush", "webhook"], "nothing was put there");
    assert!(twin.interrupt().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn categories_of_an_app_are_declared_and_those_of_chains_among_them() {
    let folder = Folder::new();
    let twin = folder.up(&[]).await;
    let of = |more: &[&'static str]| [&["app", "categories", "--id", "demo"], more].concat();
    let chain = |more: &[&'static str]| [&["app", "chain", "--id", "demo"], more].concat();
    let shown = folder.run(&of(&[])).await;
    let stderr = String::from_utf8(shown.stderr).unwrap();
    assert!(shown.stdout.is_empty() && stderr.contains("any category is accepted"), "{stderr}");
    folder.printed(&chain(&["--category", "alerts", "--steps", "sms"])).await;

    let left_out = folder.complaint(&of(&["--set", "orders,news"])).await;
    assert!(left_out.contains("leaves out categories that have a chain: alerts"), "{left_out}");
    assert!(left_out.contains("tidings app chain --id demo --category \"alerts\" --unset"), "{left_out}");
    assert_eq!(folder.printed(&of(&["--set", "orders,news,alerts,orders"])).await, "alerts\nnews\norders");
    assert_eq!(folder.printed(&of(&[])).await, "alerts\nnews\norders");

    let unknown = folder.complaint(&chain(&["--category", "order", "--steps", "email"])).await;
    let expected = "--category \"order\" must be one of the app's categories: alerts, news, orders";
    assert!(unknown.contains(expected) && unknown.contains("tidings app categories --set"), "{unknown}");
    folder.printed(&chain(&["--category", "orders", "--steps", "email"])).await;
    let typo = folder.complaint(&["send", "--to", "bob", "--alert", "x", "--category", "order"]).await;
    assert!(typo.contains("`category` must be one of the app's categories: alerts, news, orders"), "{typo}");

    // A chain goes first, then its category.
    assert_eq!(
        folder.printed(&chain(&["--category", "alerts", "--unset"])).await,
        folder.printed(&chain(&[])).await,
        "the other chain is left"
    );
    assert_eq!(folder.printed(&of(&["--set", "orders"])).await, "orders");
    assert_eq!(folder.printed(&of(&["--any"])).await, "");
    assert_eq!(folder.printed(&of(&[])).await, "");
    assert!(twin.interrupt().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_declaration_is_refused() {
    let folder = Folder::new();
    let twin = folder.up(&[]).await;
    let many: Vec<String> = (0..201).map(|n| n.to_string()).collect();
    for (arguments, expected) in [
        (["--id", "demo", "--set", "orders,"], "a category must not be empty"),
        (["--id", "demo", "--set", "orders, news"], "a category must not begin or end with a blank"),
        (["--id", "demo", "--set", &"x".repeat(65)], "a category of 65 characters; the limit is 64"),
        (["--id", "demo", "--set", &many.join(",")], "--set has 201 categories; the limit is 200"),
        (["--id", "unknown", "--set", "orders"], "there is no app \"unknown\""),
        (["--any", "--id=demo", "--set", "orders"], "cannot be used with"),
    ] {
        let complaint = folder.complaint(&[&["app", "categories"], &arguments[..]].concat()).await;
        assert!(complaint.contains(expected), "{arguments:?}: {complaint}");
    }
    for (category, expected) in [
        ("", "--category \"\": a category must not be empty"),
        ("orders,news", "--category \"orders,news\": a category that is declared has no comma"),
        (" orders", "--category \" orders\": a category must not begin or end with a blank"),
        (&"x".repeat(65), "a category of 65 characters; the limit is 64"),
    ] {
        for more in [&["--steps", "sms"][..], &["--none"], &[]] {
            let arguments = [&["app", "chain", "--id", "demo", "--category", category], more].concat();
            let complaint = folder.complaint(&arguments).await;
            assert!(complaint.contains(expected), "{arguments:?}: {complaint}");
        }
        let unset = folder.run(&["app", "chain", "--id", "demo", "--category", category, "--unset"]).await;
        let stderr = String::from_utf8(unset.stderr).unwrap();
        assert!(unset.status.success() && stderr.contains(&format!("{category:?} has no chain")), "{stderr}");
    }
    let general = folder.complaint(&["app", "chain", "--id", "demo", "--unset"]).await;
    assert!(general.contains("--category"), "the general chain is taken away with --none: {general}");
    assert_eq!(folder.printed(&["app", "categories", "--id", "demo"]).await, "");
    assert!(twin.interrupt().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_outlives_a_twin_that_forgets() {
    let folder = Folder::new();
    let twin = folder.up(&[]).await;
    let session = folder.json(".tidings/session.json");
    let port = |name: &str| {
        let url = session[name].as_str().unwrap();
        url.split(':').nth(2).unwrap().split('/').next().unwrap().to_owned()
    };
    let (http, socket, aws) = (port("apiUrl"), port("socketUrl"), port("awsUrl"));
    let providers = port("providersUrl");
    // In a folder below: the device stays the same, wherever its session is meanwhile.
    let below = folder.below();
    let mut device = Terminal::of(folder.command(&["listen", "--alias", "alice"]).current_dir(&below));
    let before = device.until("connected as device").await;
    assert!(twin.interrupt().await);

    // In memory: the new twin knows neither the device nor its keys, but it is the same app with the same key.
    let ports = ["--http-port", &http, "--socket-port", &socket, "--aws-port", &aws, "--providers-port", &providers];
    let twin = folder.up(&ports).await;
    assert_eq!(folder.json(".tidings/session.json"), session);
    let after = device.until("connected as device").await;
    let id = |line: &str| line.rsplit(' ').next().unwrap().to_owned();
    assert_eq!(id(&before), id(&after));
    assert!(!below.join(".tidings").exists());
    folder.printed(&["send", "--to", "alice", "--alert", "hello once more"]).await;
    let seen = device.until("hello once more").await;
    assert!(!device.seen.contains("missed"), "nothing was: {} {seen}", device.seen);
    assert!(device.interrupt().await && twin.interrupt().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_survives_a_kill() {
    let folder = Folder::new();
    let mut twin = folder.up(&["--data", "data"]).await;
    let key = folder.json(".tidings/session.json")["appKey"].clone();
    let id = folder.printed(&["send", "--to", "carol", "--alert", "kept"]).await;
    folder.printed(&["register", "--alias", "dave", "--mobile", "+8613800138000"]).await;
    let sms = folder.printed(&["send", "--to", "dave", "--alert", "once", "--fallback", "sms:0,email:1"]).await;
    let trail = folder.printed(&["trail", &sms, "--follow"]).await;
    assert!(trail.contains("email (step 2) skipped: no_email"), "the chain goes on after the SMS: {trail}");
    twin.child.kill().await.unwrap();
    let twin = folder.up(&["--data", "data"]).await;
    let outbox = std::fs::read_to_string(folder.path().join("data/outbox.journal")).unwrap();
    assert!(outbox.lines().count() == 1 && outbox.contains(r#""number":1"#), "{outbox}");
    assert_eq!(folder.json(".tidings/session.json")["appKey"], key, "the demo app is made once");
    let message = folder.printed(&["listen", "--alias", "carol", "--json", "--count", "1"]).await;
    assert!(message.contains(&id) && message.contains("kept"), "{message}");
    assert_eq!(folder.mode("data/demo-app.key"), 0o600);
    assert!(twin.interrupt().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_twin_on_a_bad_day_says_how_to_have_it_again() {
    let folder = Folder::new();
    let flags = ["--faults", "throttle=0.01,conflict=0.02", "--fault-seed", "7", "--retry-after", "1", "--life", "60"];
    let mut arguments = vec!["up", "--template", TEMPLATE, "--log", "error"];
    arguments.extend(["--http-port", "0", "--socket-port", "0", "--aws-port", "0"]);
    arguments.extend(["--console-port", "0"]);
    arguments.extend(flags);
    let mut twin = folder.start(&arguments);
    let line = twin.until("faults").await;
    assert!(line.ends_with("--fault-seed 7 --faults throttle=0.01,conflict=0.02"), "{line}");
    twin.until("Ctrl-C stops it").await;
    assert!(twin.interrupt().await);
}

#[tokio::test]
async fn without_a_deployment_it_says_what_to_do() {
    let folder = Folder::new();
    for arguments in [
        &["send", "--to", "alice", "--alert", "x"][..],
        &["listen", "--alias", "alice"],
        &["trail", "m-1"],
        &["app", "create", "--name", "Shop"],
    ] {
        let complaint = folder.complaint(arguments).await;
        assert!(complaint.contains("`tidings up`, or `cargo run` in the repository"), "{complaint}");
    }
    let cut = folder.complaint(&["send", "--to", "alice", "--alert", "x", "--app-key", "td_demo.…"]).await;
    assert!(cut.contains("cut short with an ellipsis"), "{cut}");
    assert!(folder.complaint(&["up"]).await.contains("--template"), "no template in this folder");
    let typo = folder.complaint(&["up", "--faults", "throtle=0.1"]).await;
    assert!(typo.contains("there is no fault \"throtle\"; there are kill-before, "), "{typo}");
    assert!(folder.complaint(&["demo", "--template", TEMPLATE, "--artefacts", "nowhere"]).await.contains("nowhere"));
}

/// A pipe whose reader is gone.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

/// A disk that is full.
fn full() -> Stdio {
    std::fs::File::options().write(true).open("/dev/full").unwrap().into()
}

impl Folder {
    /// The exit code of a command that prints to this, and its standard error.
    async fn printing(&self, to: Stdio, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = self.command(arguments);
        let running = command.stdout(to).stderr(Stdio::piped()).spawn().unwrap();
        let output = tokio::time::timeout(PATIENCE, running.wait_with_output()).await.unwrap().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn output_that_fails_ends_a_command_quietly_or_with_an_error_and_never_in_a_panic() {
    let folder = Folder::new();
    let twin = folder.up(&[]).await;
    let id = folder.printed(&["send", "--to", "alice", "--alert", "Hello"]).await;
    let everyone = folder.printed(&["announce", "send", "--alert", "Hello"]).await;
    folder.printed(&["app", "categories", "--id", "demo", "--set", "news"]).await;
    let demo = ["demo", "--template", TEMPLATE];
    let up = ["up", "--template", TEMPLATE, "--http-port", "0", "--socket-port", "0", "--aws-port", "0"];
    let elsewhere = Folder::new();
    for (at, arguments) in [
        (&folder, &["trail", &id][..]),
        (&folder, &["trail", "--json", &id]),
        (&folder, &["trail", "--follow", &id]),
        (&folder, &["send", "--to", "alice", "--alert", "x"]),
        (&folder, &["send", "--json", "--to", "alice", "--alert", "x"]),
        (&folder, &["announce", "send", "--alert", "x"]),
        (&folder, &["announce", "list"]),
        (&folder, &["announce", "list", "--json"]),
        (&folder, &["announce", "withdraw", &everyone]),
        (&folder, &["preferences", "alice"]),
        (&folder, &["item", "close", "order:1"]),
        (&folder, &["app", "chain", "--id", "demo"]),
        (&folder, &["app", "categories", "--id", "demo"]),
        (&folder, &["app", "create", "--name", "Shop"]),
        (&folder, &["register", "--alias", "alice"]),
        (&folder, &["listen", "--alias", "alice"]),
        (&folder, &["listen", "--alias", "alice", "--json"]),
        (&folder, &["--help"]),
        (&folder, &["send", "--help"]),
        (&folder, &["--version"]),
        (&elsewhere, &demo),
        (&elsewhere, &up),
    ] {
        let (status, complaint) = at.printing(closed_pipe(), arguments).await;
        assert_eq!(status, Some(141), "as of a program that SIGPIPE has ended: {arguments:?}: {complaint}");
        assert!(
            !complaint.contains("panicked") && !complaint.contains("write the output"),
            "{arguments:?}: {complaint}"
        );
        let (status, complaint) = at.printing(full(), arguments).await;
        assert_eq!(status, Some(1), "{arguments:?}: {complaint}");
        let expected = "tidings: write the output: No space left on device";
        assert!(complaint.contains(expected) && !complaint.contains("panicked"), "{arguments:?}: {complaint}");
    }
    // A note that cannot be printed does not end the command.
    for arguments in [&["send", "--to", "alice", "--alert", "x"][..], &["app", "create", "--name", "Shop"]] {
        let mut command = folder.command(arguments);
        assert!(command.stderr(closed_pipe()).stdout(Stdio::null()).status().await.unwrap().success(), "{arguments:?}");
    }
    assert!(twin.interrupt().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_listener_could_not_print_is_not_acknowledged_and_comes_again() {
    let folder = Folder::new();
    let twin = folder.up(&[]).await;
    folder.printed(&["register", "--alias", "alice"]).await;
    let id = folder.printed(&["send", "--to", "alice", "--alert", "first"]).await;
    let (status, _) = folder.printing(full(), &["listen", "--alias", "alice", "--json", "--count", "1"]).await;
    assert_eq!(status, Some(1));
    assert!(folder.printed(&["trail", &id]).await.contains("alice  pending"));
    let line = folder.printed(&["listen", "--alias", "alice", "--json", "--count", "1"]).await;
    let message: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&message["type"], &message["id"]), (&"message".into(), &id.as_str().into()), "{line}");
    let trail = folder.printed(&["trail", "--follow", &id]).await;
    assert!(trail.contains("alice  confirmed"), "{trail}");
    assert!(twin.interrupt().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_wrote_is_shown_and_does_not_command_the_terminal() {
    let folder = Folder::new();
    let twin = folder.up(&[]).await;
    // Before anything is sent, because an app is read once a minute.
    folder.printed(&["app", "categories", "--id", "demo", "--set", "news"]).await;
    let harmful = |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c);
    let text = "a\u{1b}[2J\u{9b}31m\u{202e}b";
    let shown = r"a\u{1b}[2J\u{9b}31m\u{202e}b";
    let mut listener = folder.start(&["listen", "--alias", "alice"]);
    listener.until("connected as device").await;
    folder.printed(&["send", "--to", "alice", "--alert", text, "--sender", text]).await;
    let line = listener.until("31m").await;
    assert!(line.matches(shown).count() == 2 && !line.contains(harmful), "{line:?}");
    folder.printed(&["announce", "send", "--alert", text]).await;
    let line = listener.until("to everyone").await;
    assert!(line.contains(shown) && !line.contains(harmful), "{line:?}");
    let listed = folder.printed(&["announce", "list"]).await;
    assert!(listed.contains(shown) && !listed.contains(harmful), "{listed:?}");

    // JSON holds the same text, and no character that a terminal obeys.
    let announced = folder.printed(&["announce", "list", "--json"]).await;
    assert!(!announced.contains(harmful), "{announced:?}");
    assert_eq!(serde_json::from_str::<Value>(&announced).unwrap()["alert"], text);

    // Errors name the refused value, and the file.
    for arguments in [
        &["trail", text][..],
        &["send", "--to", text, "--alert", "x", "--category", text],
        &["preferences", text, "--set", &serde_json::json!({text: true}).to_string()],
        &["app", "create", "--name", "x", "--id", text],
        &["demo", "--template", text],
        &["app", "providers", "--app", "demo", "--file", text],
    ] {
        let complaint = folder.complaint(arguments).await;
        assert!(!complaint.contains(harmful), "{arguments:?}: {complaint:?}");
    }
    assert!(listener.interrupt().await && twin.interrupt().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_work_in_the_folders_below() {
    let folder = Folder::new();
    let below = folder.below();
    std::fs::copy(TEMPLATE, folder.path().join("template.yaml")).unwrap();
    let within = |arguments: &[&str]| {
        let mut command = folder.command(arguments);
        command.current_dir(&below);
        command
    };
    // The twin itself, which finds its template, and leaves its session beside it.
    let ports = ["--http-port", "0", "--socket-port", "0", "--aws-port", "0"];
    let mut twin = Terminal::of(&mut within(&[&["up"][..], &ports].concat()));
    twin.until("Ctrl-C stops it").await;
    assert_eq!(folder.mode(".tidings/session.json"), 0o600);

    let printed = async |arguments: &[&str]| {
        let output = within(arguments).output().await.unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    // A device is the same in every folder.
    let device = printed(&["register", "--alias", "alice"]).await;
    assert_eq!(folder.printed(&["register", "--alias", "alice"]).await, device.trim());
    assert_eq!(folder.mode(".tidings/devices/alice.json"), 0o600);
    assert!(!below.join(".tidings").exists());
    let id = printed(&["send", "--to", "alice", "--alert", "from below"]).await;
    let line = folder.printed(&["listen", "--alias", "alice", "--json", "--count", "1"]).await;
    assert!(line.contains(id.trim()), "{line}");
    assert!(twin.interrupt().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipient_without_a_device_is_named() {
    let folder = Folder::new();
    let twin = folder.up(&[]).await;
    folder.printed(&["register", "--alias", "alice"]).await;
    let noted = async |arguments: &[&str]| {
        let output = folder.run(&[&["send", "--alert", "x"][..], arguments].concat()).await;
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let note = "note: no device is registered for";
    assert!(!noted(&["--to", "alice"]).await.contains(note));
    for _ in 0..2 {
        // After the first message there is a mailbox, and still no device.
        let notes = noted(&["--to", "alice,alcie", "--to", "张伟 & co"]).await;
        assert!(
            notes.contains(&format!("{note} alcie yet")) && notes.contains(&format!("{note} 张伟 & co yet")),
            "{notes}"
        );
        assert_eq!(notes.matches(note).count(), 2, "{notes}");
    }
    // An error names an invalid URL, and the device does not register again.
    let complaint = folder.complaint(&["listen", "--alias", "alice", "--socket-url", "http://127.0.0.1:1/prod"]).await;
    assert!(
        complaint.contains("as the output SocketUrl is") && !complaint.contains("registering again"),
        "{complaint}"
    );
    let key = folder.json(".tidings/session.json")["appKey"].as_str().unwrap().to_owned();
    let send = ["send", "--to", "alice", "--alert", "x", "--api-url", "127.0.0.1:7400", "--app-key", &key];
    assert!(folder.complaint(&send).await.contains("it begins with http://"));
    // One wrong field is named once, and several are listed.
    assert_eq!(folder.complaint(&["send", "--to", "", "--alert", "x"]).await.matches("must not be empty").count(), 1);
    let several = folder.complaint(&["send", "--to", "", "--alert", ""]).await;
    assert!(several.contains("\n  audiences[0]: ") && several.contains("\n  alert: "), "{several}");
    // Another deployment is not asked, because its API has no such query.
    let session = folder.json(".tidings/session.json");
    let (url, key) = (session["apiUrl"].as_str().unwrap(), session["appKey"].as_str().unwrap());
    assert!(!noted(&["--to", "alcie", "--api-url", url, "--app-key", key]).await.contains(note));
    assert!(twin.interrupt().await);
}

#[tokio::test]
async fn a_name_that_cannot_be_one_is_refused_by_every_command() {
    let folder = Folder::new();
    for arguments in [
        &["send", "--to", "ALL", "--alert", "x"][..],
        &["send", "--to", "alice,all", "--alert", "x"],
        &["register", "--alias", "All"],
        &["listen", "--alias", "ALL"],
        &["preferences", "aLL"],
    ] {
        let output = folder.command(arguments).output().await.unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && stderr.contains("POST /v1/announcements"), "{arguments:?}: {stderr}");
    }
    let deployment =
        ["--api-url", "http://127.0.0.1:1", "--app-key", "td_demo.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"];
    for (field, arguments) in [
        ("alias", &["preferences", "a/b"][..]),
        ("alias", &["preferences", "50%", "--set", "{}"]),
        ("item", &["item", "show", "a?b"]),
        ("item", &["item", "close", ".."]),
        ("item", &["item", "open", "a/b"]),
        ("requestId", &["trail", "a/b"]),
        ("requestId", &["cancel", "."]),
        ("requestId", &["announce", "withdraw", "a%2Fb"]),
    ] {
        let complaint = folder.complaint(&[arguments, &deployment].concat()).await;
        let expected =
            format!("{field} must not be `.` or `..`, nor have `/`, `?` or `%`: paths do not carry such a name");
        assert!(complaint.contains(&expected), "{arguments:?}: {complaint}");
    }
    for extra in [r#"{"n":18446744073709551616}"#, r#"{"a":1,"a":2}"#, "1e400", "9007199254740993"] {
        let output = folder.command(&["send", "--to", "alice", "--extra", extra]).output().await.unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && stderr.contains("`extra"), "{extra}: {stderr}");
    }
    let version = folder.command(&["--version"]).output().await.unwrap();
    let version = String::from_utf8(version.stdout).unwrap();
    assert!(version.starts_with("tidings 0.1.0 (time zones of 2026"), "{version}");
}
