//! Processes: their environment, their number, and every way in which one can end.

use std::process::Stdio;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt;
use sam_twin::functions::{Functions, InvokeError, Source};
use sam_twin::ledger::{Ledger, TraceId};
use sam_twin::template::Function;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::twin::{self, function};

async fn call(functions: &Functions, function: &str, event: Value) -> Result<Value, InvokeError> {
    let answer = functions.invoke(function, event.to_string().into(), &[]).await?;
    Ok(serde_json::from_slice(&answer).unwrap())
}

async fn pid(functions: &Functions) -> u32 {
    let answer = call(functions, "plainFunction", json!({})).await.unwrap();
    u32::try_from(answer["pid"].as_u64().unwrap()).unwrap()
}

#[track_caller]
fn failure(result: Result<Value, InvokeError>) -> (String, String) {
    match result {
        Err(InvokeError::Failed { error_type, message, payload, .. }) => {
            let document: Value = serde_json::from_slice(&payload).unwrap();
            assert_eq!(document["errorMessage"], message);
            (error_type, message)
        }
        other => panic!("expected a failure of the function, got {other:?}"),
    }
}

#[tokio::test]
async fn a_function_sees_what_lambda_would_give_it() {
    let functions = twin::functions([function("plain")]);
    let trace = TraceId::new();
    let answer =
        functions.invoke("plainFunction", Bytes::from_static(br#"{"a":1}"#), std::slice::from_ref(&trace)).await;
    let answer: Value = serde_json::from_slice(&answer.unwrap()).unwrap();
    assert_eq!(answer["event"], json!({"a": 1}));
    assert_eq!(answer["arn"], "arn:aws:lambda:us-east-1:000000000000:function:test-plain");
    assert_eq!(answer["trace"], trace.header());
    assert_eq!(answer["requestId"].as_str().unwrap().len(), 36);
    let deadline = Duration::from_millis(answer["deadline"].as_u64().unwrap());
    let left = deadline.checked_sub(std::time::UNIX_EPOCH.elapsed().unwrap()).unwrap();
    assert!(left <= Duration::from_secs(20) && left > Duration::from_secs(5), "{left:?}");

    let environment = &answer["environment"];
    assert_eq!(environment["FROM_TEMPLATE"], "yes");
    assert_eq!(environment["AWS_LAMBDA_FUNCTION_NAME"], "test-plain");
    assert_eq!(environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"], "128");
    assert_eq!(environment["AWS_REGION"], "us-east-1");
    assert_eq!(environment["AWS_ENDPOINT_URL"], "http://127.0.0.1:1");
    assert_eq!(environment["_HANDLER"], "bootstrap");
    assert!(environment.get("HOME").is_none(), "the caller's environment must not leak: {environment}");

    let key = environment["AWS_ACCESS_KEY_ID"].as_str().unwrap();
    assert_eq!(functions.traces_of(key), [trace]);
    assert_eq!(functions.caller(key).unwrap().function, "plainFunction");
    assert!(functions.traces_of("AKIAIOSFODNN7EXAMPLE").is_empty());
    functions.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_process_is_reused_and_another_started_only_while_it_is_busy() {
    let functions = twin::functions([function("plain")]);
    let first = pid(&functions).await;
    assert_eq!(pid(&functions).await, first);

    let both = tokio::join!(
        call(&functions, "plainFunction", json!({"do": "sleep", "argument": 300})),
        call(&functions, "plainFunction", json!({"do": "sleep", "argument": 300})),
    );
    assert_ne!(both.0.unwrap()["pid"], both.1.unwrap()["pid"]);
    functions.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn reserved_concurrency_is_kept_and_waited_for() {
    let mut one = function("plain");
    one.reserved_concurrency = Some(1);
    let mut options = twin::options();
    options.queue_limit = Duration::from_secs(10);
    let functions = Functions::new([one.clone()], options.clone(), Ledger::new());
    let nap = || call(&functions, "plainFunction", json!({"do": "sleep", "argument": 200}));
    let (one_pid, two_pid, three_pid) = tokio::join!(nap(), nap(), nap());
    let pids = [one_pid, two_pid, three_pid].map(|answer| answer.unwrap()["pid"].as_u64().unwrap());
    assert_eq!(pids, [pids[0]; 3]);
    functions.shutdown(Duration::ZERO).await;

    options.queue_limit = Duration::from_millis(50);
    let impatient = Functions::new([one], options, Ledger::new());
    let nap = || call(&impatient, "plainFunction", json!({"do": "sleep", "argument": 2000}));
    let (first, second) = tokio::join!(nap(), nap());
    first.unwrap();
    assert!(matches!(second, Err(InvokeError::Throttled { .. })), "{second:?}");
    impatient.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_function_that_takes_too_long_is_killed() {
    let mut slow = function("plain");
    slow.timeout = Duration::from_millis(400);
    let functions = twin::functions([slow]);
    let before = pid(&functions).await;
    let result = call(&functions, "plainFunction", json!({"do": "hang"})).await;
    assert!(matches!(result, Err(InvokeError::TimedOut { after, .. }) if after == Duration::from_millis(400)));
    twin::gone(before).await;
    assert_ne!(pid(&functions).await, before);
    functions.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_crash_fails_the_invocation_at_once_and_the_next_gets_a_new_process() {
    let functions = twin::functions([function("plain")]);
    let before = pid(&functions).await;
    let began = Instant::now();
    let (error_type, message) = failure(call(&functions, "plainFunction", json!({"do": "exit"})).await);
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(error_type, "Runtime.ExitError");
    assert!(message.ends_with("Error: Runtime exited with error: exit status 3"), "{message}");
    assert_ne!(pid(&functions).await, before);
    functions.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_process_that_died_while_idle_costs_no_invocation() {
    let functions = twin::functions([function("plain")]);
    let before = pid(&functions).await;
    kill(before).await;
    assert_ne!(pid(&functions).await, before);
    functions.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn an_error_of_the_function_is_passed_on_and_its_process_stays() {
    let functions = twin::functions([function("plain")]);
    let before = pid(&functions).await;
    let (_, message) = failure(call(&functions, "plainFunction", json!({"do": "fail"})).await);
    assert_eq!(message, "the probe was asked to fail");
    assert_eq!(pid(&functions).await, before);
    functions.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_function_that_cannot_start_reports_the_reason() {
    let functions = twin::functions([function("broken"), function("refuses")]);
    let mut logs = functions.logs();
    let (error_type, message) = failure(call(&functions, "brokenFunction", json!({})).await);
    assert_eq!(error_type, "Runtime.ExitError");
    assert!(message.ends_with("exit status 7"), "{message}");
    twin::line(&mut logs, "cannot start").await;

    let (error_type, message) = failure(call(&functions, "refusesFunction", json!({})).await);
    assert_eq!((error_type.as_str(), message.as_str()), ("Probe.Config", "TABLE is missing"));
    functions.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn sizes_are_limited_in_both_directions() {
    let functions = twin::functions([function("plain")]);
    let event = json!({"padding": "x".repeat(7 * 1024 * 1024)});
    let result = call(&functions, "plainFunction", event).await;
    assert!(matches!(result, Err(InvokeError::TooLarge { .. })), "{result:?}");
    let result = call(&functions, "plainFunction", json!({"do": "large", "argument": 7 * 1024 * 1024})).await;
    assert_eq!(failure(result).0, "Function.ResponseSizeTooLarge");
    let result = call(&functions, "plainFunction", json!({"do": "large", "argument": 5 * 1024 * 1024})).await;
    assert_eq!(result.unwrap().as_str().unwrap().len(), 5 * 1024 * 1024);
    functions.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn what_a_function_prints_is_captured_with_its_name() {
    let functions = twin::functions([function("plain")]);
    let mut logs = functions.logs();
    call(&functions, "plainFunction", json!({"do": "print", "argument": "hello from the probe"})).await.unwrap();
    loop {
        let line = logs.recv().await.unwrap();
        assert_eq!(&*line.function, "plainFunction");
        if line.text == "hello from the probe" {
            break;
        }
    }
    functions.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn idle_processes_are_ended() {
    let mut options = twin::options();
    options.idle_limit = Duration::from_millis(100);
    let functions = Functions::new([function("plain")], options, Ledger::new());
    let before = pid(&functions).await;
    twin::gone(before).await;
    assert_ne!(pid(&functions).await, before);
    functions.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn an_invocation_goes_on_when_its_caller_leaves() {
    let functions = twin::functions([function("plain")]);
    let mut logs = functions.logs();
    pid(&functions).await;
    let event = json!({"do": "print", "argument": "done all the same"});
    let call = functions.invoke("plainFunction", event.to_string().into(), &[]);
    // Polled once, so that it begins; then dropped.
    assert!(call.now_or_never().is_none());
    twin::line(&mut logs, "done all the same").await;
    functions.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_shutdown_lets_work_end_and_then_leaves_no_process() {
    let functions = twin::functions([function("plain")]);
    let mut logs = functions.logs();
    let before = pid(&functions).await;
    let working = functions.clone();
    let work =
        tokio::spawn(async move { call(&working, "plainFunction", json!({"do": "sleep", "argument": 500})).await });
    twin::line(&mut logs, "sleeping").await;
    functions.shutdown(twin::PATIENCE).await;
    work.await.unwrap().unwrap();
    twin::gone(before).await;
    let late = call(&functions, "plainFunction", json!({})).await;
    assert!(matches!(late, Err(InvokeError::ShuttingDown)), "{late:?}");
}

#[tokio::test]
async fn a_shutdown_without_grace_gives_work_up() {
    let functions = twin::functions([function("plain")]);
    let mut logs = functions.logs();
    let working = functions.clone();
    let work = tokio::spawn(async move { call(&working, "plainFunction", json!({"do": "hang"})).await });
    let pid = twin::line(&mut logs, "ready ").await.parse().unwrap();
    functions.shutdown(Duration::from_millis(50)).await;
    assert!(matches!(work.await.unwrap(), Err(InvokeError::ShuttingDown)));
    twin::gone(pid).await;
}

#[tokio::test]
async fn an_idle_function_ends_when_the_twin_is_killed() {
    end_with_a_killed_twin("idle").await;
}

#[tokio::test]
async fn a_hanging_function_that_watches_its_twin_ends_with_it() {
    end_with_a_killed_twin("hanging").await;
}

async fn end_with_a_killed_twin(how: &str) {
    let mut doomed = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["twin_process", "--exact", "--nocapture"])
        .env(twin::DOOMED, how)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(doomed.stdout.take().unwrap()).lines();
    let function = loop {
        let line = lines.next_line().await.unwrap().expect("the doomed twin ended by itself");
        if let Some(pid) = line.split("started ").nth(1) {
            break pid.trim().parse().unwrap();
        }
    };
    assert!(twin::runs(function));
    doomed.kill().await.unwrap();
    twin::gone(function).await;
}

#[tokio::test]
async fn artefacts_are_found_as_cargo_lambda_and_sam_lay_them_out() {
    let folder = tempfile::tempdir().unwrap();
    // A function in shell, so that the artefact is a different program.
    let script = |root: &str| {
        let root = folder.path().join(root);
        std::fs::create_dir_all(&root).unwrap();
        let this = std::env::current_exe().unwrap();
        let text = format!(
            "#!/bin/sh\nexport TWIN_RUN_FUNCTION=plain\nexec '{}' function_process --exact --nocapture\n",
            this.display()
        );
        std::fs::write(root.join("bootstrap"), text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(root.join("bootstrap"), mode).unwrap();
        root.canonicalize().unwrap()
    };
    let by_binary = script("plain");
    let by_id = script("samFunction");
    let mut options = twin::options();
    options.source = Source::Artefacts(folder.path().to_path_buf());
    let functions = Functions::new([function("plain"), function("sam"), function("absent")], options, Ledger::new());
    for (name, root) in [("plainFunction", by_binary), ("samFunction", by_id)] {
        let answer = call(&functions, name, json!({})).await.unwrap();
        assert_eq!(answer["environment"]["LAMBDA_TASK_ROOT"], root.to_str().unwrap());
        assert_eq!(answer["environment"]["PWD"], root.to_str().unwrap());
    }
    let absent = call(&functions, "absentFunction", json!({})).await;
    assert!(matches!(absent, Err(InvokeError::Start { .. })), "{absent:?}");
    let unknown = call(&functions, "unknown", json!({})).await;
    assert!(matches!(unknown, Err(InvokeError::Unknown { .. })), "{unknown:?}");
    functions.shutdown(Duration::ZERO).await;
}

async fn kill(pid: u32) {
    let status = tokio::process::Command::new("kill").args(["-9", &pid.to_string()]).status().await.unwrap();
    assert!(status.success());
    twin::gone(pid).await;
}

#[tokio::test]
async fn a_file_that_cannot_be_executed_is_named_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str, mode: u32| {
        let root = folder.path().join(name);
        std::fs::create_dir_all(&root).unwrap();
        std::fs::write(root.join("bootstrap"), text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(root.join("bootstrap"), mode).unwrap();
        root.canonicalize().unwrap().join("bootstrap").display().to_string()
    };
    let cases = [
        ("locked", write("locked", "#!/bin/sh\n", 0o644), "Permission denied", "chmod +x"),
        ("lost", write("lost", "#!/no/such/interpreter\n", 0o755), "No such file", "interpreter"),
        ("empty", write("empty", "\u{1}\u{2}", 0o755), "Exec format error", ""),
    ];
    let mut options = twin::options();
    options.source = Source::Artefacts(folder.path().to_path_buf());
    let functions = Functions::new(["locked", "lost", "empty"].map(function), options, Ledger::new());
    for (name, path, reason, hint) in cases {
        let error = call(&functions, &format!("{name}Function"), json!({})).await.unwrap_err();
        assert!(matches!(error, InvokeError::Start { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(&path) && text.contains(reason) && text.contains(hint), "{text}");
    }
    functions.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn a_process_that_never_asks_for_work_is_reported_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("hanging");
    std::fs::create_dir_all(&root).unwrap();
    std::fs::write(root.join("bootstrap"), "#!/bin/sh\nexec sleep 600\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(root.join("bootstrap"), mode).unwrap();
    let mut options = twin::options();
    options.source = Source::Artefacts(folder.path().to_path_buf());
    options.init_limit = Duration::from_millis(200);
    let functions = Functions::new(
        [Function { timeout: Duration::from_millis(100), ..function("hanging") }],
        options,
        Ledger::new(),
    );
    let error = call(&functions, "hangingFunction", json!({})).await.unwrap_err();
    assert!(matches!(error, InvokeError::NotReady { .. }), "{error:?}");
    assert!(error.to_string().contains("did not ask for its first invocation within 0.2 s"), "{error}");
    functions.shutdown(Duration::ZERO).await;
}

#[tokio::test]
async fn code_is_exchanged_while_functions_run_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("plain");
    std::fs::create_dir_all(&root).unwrap();
    let this = std::env::current_exe().unwrap();
    let text = format!(
        "#!/bin/sh\nexport TWIN_RUN_FUNCTION=plain\nexec '{}' function_process --exact --nocapture\n",
        this.display()
    );
    std::fs::write(root.join("bootstrap"), text).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(root.join("bootstrap"), mode).unwrap();
    let functions = twin::functions([function("plain")]);
    let runs_in = async || {
        let answer = call(&functions, "plainFunction", json!({})).await.unwrap();
        answer["environment"]["LAMBDA_TASK_ROOT"].as_str().unwrap().to_owned()
    };
    let before = runs_in().await;
    let nowhere = functions.exchange(Source::Artefacts(folder.path().join("nowhere"))).await;
    assert!(nowhere.unwrap_err().to_string().contains("plainFunction has no code"));
    assert_eq!((runs_in().await, functions.exchanged()), (before.clone(), 0), "nothing has changed");
    functions.exchange(Source::Artefacts(folder.path().to_owned())).await.unwrap();
    assert_eq!(runs_in().await, root.canonicalize().unwrap().to_str().unwrap());
    functions.exchange(functions.first_source()).await.unwrap();
    assert_eq!((runs_in().await, functions.exchanged()), (before, 2));
    functions.shutdown(Duration::ZERO).await;
}
