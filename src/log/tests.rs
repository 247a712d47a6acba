use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use tracing::Level;

use super::*;

/// Collects what is written.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl io::Write for Page {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn logged(format: Format, level: &str, events: impl FnOnce(&AccessLines)) -> String {
    logged_with(format, level, |access, _| events(access))
}

fn logged_with(format: Format, level: &str, events: impl FnOnce(&AccessLines, &Control)) -> String {
    let page = Page::default();
    let (lines, flush) = writer::spawn(page.clone(), || {}).unwrap();
    let control = Control::new(level, true).unwrap();
    let access = AccessLines::new(Clock::manual(), lines.clone(), control.clone());
    let layers = layers(format, &control, false, &Clock::manual(), &lines);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layers), || {
        events(&access, &control)
    });
    drop(flush);
    page.text()
}

fn line<'a>() -> AccessLine<'a> {
    AccessLine {
        listener: "main",
        caller: None,
        method: "GET",
        path: Some("/a"),
        route: None,
        upstream: None,
        status: 404,
        error: None,
        elapsed: Duration::from_micros(12_034),
        replayed: false,
        request_id: "abc",
    }
}

#[test]
fn a_json_line_has_its_time_in_utc_and_its_fields_at_the_top() {
    let text = logged(Format::Json, "info", |_| {
        tracing::info!(target: "bearerd::token", status = 200, "answered");
        tracing::info!(target: "hyper::proto", "chatter");
    });
    let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!(line["timestamp"], "2025-06-15T15:06:40.000Z");
    assert_eq!(line["target"], "bearerd::token");
    assert_eq!(line["status"], 200);
    assert_eq!(line["message"], "answered");
}

#[test]
fn an_access_line_is_json_whatever_its_fields_say() {
    let odd = "a\"b\\c\u{1}\r\n\u{2028}é";
    let text = logged(Format::Json, "info", |access| {
        access.write(&AccessLine {
            path: Some(odd),
            error: Some(("no_route", &odd)),
            request_id: odd,
            ..line()
        });
        access.write(&AccessLine {
            route: Some("shop"),
            upstream: Some("api"),
            path: None,
            replayed: true,
            ..line()
        });
    });
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let stamp = "2025-06-15T15:06:40.000Z";
    let expected = serde_json::json!([
        {
            "timestamp": stamp, "level": "INFO", "listener": "main", "method": "GET", "path": odd, "status": 404,
            "code": "no_route", "detail": odd, "duration_ms": 12.034, "replayed": false, "request_id": odd,
            "target": "bearerd::access",
        },
        {
            "timestamp": stamp, "level": "INFO", "listener": "main", "method": "GET", "route": "shop",
            "upstream": "api", "status": 404, "duration_ms": 12.034, "replayed": true, "request_id": "abc",
            "target": "bearerd::access",
        },
    ]);
    assert_eq!(serde_json::Value::from(lines), expected);
}

#[test]
fn access_lines_stay_away_where_the_level_says_so() {
    let text = logged(Format::Json, "warn", |access| access.write(&line()));
    assert_eq!(text, "");
    assert!(logged(Format::Text, "info", |_| line().write()).contains("status=404 duration_ms=12.034"));
    assert_eq!(logged(Format::Text, "warn", |_| line().write()), "");
}

#[test]
fn an_event_is_one_line_whatever_it_says() {
    let text = logged(Format::Text, "info", |_| {
        tracing::info!(target: "bearerd::token", "refused: {}", "bad\r\n2025-06-15T15:06:40Z INFO forged");
    });
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(
        text.starts_with("2025-06-15T15:06:40.000Z  INFO bearerd::token"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "no colours off a terminal");
}

/// Blocks in its first write until it is told to go on.
struct Stuck {
    entered: mpsc::Sender<()>,
    go_on: mpsc::Receiver<()>,
}

impl io::Write for Stuck {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let _ = self.entered.send(());
        let _ = self.go_on.recv();
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stuck_output_blocks_nobody_and_what_is_dropped_is_counted() {
    use std::io::Write;
    use tracing_subscriber::fmt::MakeWriter;

    let (entered, writing) = mpsc::channel();
    let (go_on, wait) = mpsc::channel();
    let dropped = Arc::new(AtomicUsize::new(0));
    let count = dropped.clone();
    let stuck = Stuck { entered, go_on: wait };
    let (lines, flush) = writer::spawn(stuck, move || {
        count.fetch_add(1, Ordering::Relaxed);
    })
    .unwrap();
    lines.make_writer().write_all(b"first\n").unwrap();
    writing.recv().unwrap();
    let long = [b'x'; 1024];
    for _ in 0..writer::MOST_WAITING / 1024 + 3 {
        lines.make_writer().write_all(&long).unwrap();
    }
    // A line has an end of one byte more.
    assert!((3..=8).contains(&dropped.load(Ordering::Relaxed)));
    drop(go_on);
    drop(flush);
}

#[test]
fn what_waits_is_written_before_the_end() {
    let text = logged(Format::Text, "info", |_| {
        for count in 0..1000 {
            tracing::info!(target: "bearerd", count, "line");
        }
    });
    assert_eq!(text.lines().count(), 1000);
}

#[test]
fn a_request_is_found_by_its_span() {
    let text = logged(Format::Json, "info", |_| {
        let span = tracing::info_span!(target: "bearerd::proxy", "request", request_id = "abc");
        let _entered = span.enter();
        tracing::warn!(target: "bearerd::proxy", "odd");
    });
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["span"]["request_id"], "abc");
    assert!(lines[0].get("spans").is_none());
    assert_eq!(lines.len(), 1);
}

/// Who says something, loudly and quietly.
fn everybody(access: &AccessLines, format: Format) {
    tracing::trace!(target: "bearerd::manager", "bearerd traces");
    tracing::debug!(target: "bearerd::manager", "bearerd debugs");
    tracing::error!(target: "bearerd", "bearerd errs");
    tracing::trace!(target: "h2::codec", "a dependency traces");
    tracing::debug!(target: "h2::codec", "a dependency debugs");
    tracing::warn!(target: "h2::codec", "a dependency warns");
    match format {
        Format::Json => access.write(&line()),
        Format::Text => line().write(),
    }
}

#[test]
fn a_level_that_is_changed_holds_from_the_next_event_on_and_dependencies_stay_capped() {
    for (level, said) in [
        ("info", vec!["bearerd errs", "a dependency warns", "duration_ms"]),
        ("error", vec!["bearerd errs"]),
        ("off", vec![]),
        (
            "debug",
            vec!["bearerd debugs", "bearerd errs", "a dependency warns", "duration_ms"],
        ),
        (
            "trace",
            vec![
                "bearerd traces",
                "bearerd debugs",
                "bearerd errs",
                "a dependency warns",
                "duration_ms",
            ],
        ),
        (
            "trace,h2=trace",
            vec![
                "bearerd traces",
                "bearerd debugs",
                "bearerd errs",
                "a dependency debugs",
                "a dependency warns",
                "duration_ms",
            ],
        ),
        (
            "warn,bearerd::manager=trace,h2=off",
            vec!["bearerd traces", "bearerd debugs", "bearerd errs"],
        ),
    ] {
        for format in [Format::Json, Format::Text] {
            let text = logged_with(format, "warn", |access, control| {
                everybody(access, format);
                tracing::error!(target: "bearerd", "changed");
                control.set(level).unwrap();
                assert_eq!((&*control.text(), control.configured()), (level, "warn"));
                assert_eq!(control.set("loud").unwrap_err().directive, "loud");
                everybody(access, format);
            });
            let after = text.lines().skip_while(|line| !line.contains("changed")).skip(1);
            let words = [
                "bearerd traces",
                "bearerd debugs",
                "bearerd errs",
                "a dependency traces",
                "a dependency debugs",
                "a dependency warns",
                "duration_ms",
            ];
            let heard: Vec<_> = after
                .map(|line| words.into_iter().find(|word| line.contains(word)).unwrap_or(line))
                .collect();
            assert_eq!(heard, said, "{level}");
        }
    }
}

#[test]
fn what_is_asked_of_each_event_is_what_the_filter_says() {
    for text in [
        "",
        "off",
        "info",
        "trace",
        "bearerd=debug",
        "bear=trace",
        "warn,bearerd::proxy=trace",
        "info,h2=trace,bearerd::access=off",
    ] {
        let control = Control::new(text, true).unwrap();
        let filter::Filters { access, others } = filter::capped(text, true).unwrap();
        let lines = logged(Format::Text, text, |_| {
            tracing::trace!(target: "bearerd::proxy", "heard");
            tracing::debug!(target: "bearerd::manager", "heard");
            tracing::info!(target: "bearerd", "heard");
            tracing::debug!(target: "bearerdx", "heard");
            tracing::warn!(target: "bearerd::access", "heard");
            tracing::debug!(target: "h2", "heard");
            tracing::warn!(target: "h2", "heard");
        });
        let expected = [
            ("bearerd::proxy", Level::TRACE),
            ("bearerd::manager", Level::DEBUG),
            ("bearerd", Level::INFO),
            ("bearerdx", Level::DEBUG),
            ("bearerd::access", Level::WARN),
            ("h2", Level::DEBUG),
            ("h2", Level::WARN),
        ];
        let passes =
            |(target, level): &(&str, Level)| access.would_enable(target, level) || others.would_enable(target, level);
        assert_eq!(
            lines.lines().count(),
            expected.iter().filter(|it| passes(it)).count(),
            "{text}: {lines}"
        );
        assert_eq!(control.text(), text);
    }
}
