//! A page in a browser that does as it is told, by the DevTools protocol over its pipes.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::chromium::Chromium;

/// More than a browser takes to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at a page.
const STEP: Duration = Duration::from_millis(50);

/// The one page of a running browser.
pub(crate) struct Page {
    _browser: Chromium,
    input: ChildStdin,
    output: Receiver<Value>,
    session: String,
    last: u64,
    /// What the page complained of.
    pub(crate) complaints: Vec<String>,
}

impl Page {
    /// Opens this page. `None`, and a printed reason, where no browser is installed.
    pub(crate) fn open(url: &str) -> Option<Self> {
        // The protocol is spoken on the descriptors 3 and 4.
        let piped = |program: &str| {
            let mut command = Command::new("sh");
            let redirected = "exec \"$0\" \"$@\" 3<&0 4>&1 0</dev/null >/dev/null 2>&1";
            command.args(["-c", redirected, program]);
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            command
        };
        let arguments = ["--hide-scrollbars", "--remote-debugging-pipe", "about:blank"];
        let mut browser = Chromium::start(piped, &arguments)?;
        let process = &mut browser.process;
        let (input, said) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let (sender, output) = channel();
        thread::spawn(move || {
            let mut reader = BufReader::new(said);
            let mut message = Vec::new();
            while reader.read_until(0, &mut message).is_ok_and(|read| read > 0) {
                message.pop();
                let Ok(value) = serde_json::from_slice(&message) else {
                    return;
                };
                if sender.send(value).is_err() {
                    return;
                }
                message.clear();
            }
        });
        let mut page = Self {
            _browser: browser,
            input,
            output,
            session: String::new(),
            last: 0,
            complaints: Vec::new(),
        };
        let target = page.call("Target.createTarget", json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = page.call("Target.attachToTarget", attach);
        page.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Log"] {
            page.call(&format!("{domain}.enable"), json!({}));
        }
        page.look_as(1280, "light");
        page.call("Page.navigate", json!({"url": url}));
        Some(page)
    }

    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.last += 1;
        let mut message = json!({"id": self.last, "method": method, "params": parameters});
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.input.write_all(&bytes).unwrap();
        loop {
            let said = self.output.recv_timeout(PATIENCE).expect("an answer of the browser's");
            if said["id"] == self.last {
                assert!(said.get("error").is_none(), "{method}: {said}");
                return said["result"].clone();
            }
            self.hear(&said);
        }
    }

    fn hear(&mut self, said: &Value) {
        match said["method"].as_str() {
            Some("Runtime.exceptionThrown") => self.complaints.push(said["params"].to_string()),
            Some("Log.entryAdded") if said["params"]["entry"]["level"] != "verbose" => {
                self.complaints.push(said["params"]["entry"]["text"].to_string());
            }
            _ => {}
        }
    }

    /// What an expression comes to in the page.
    pub(crate) fn eval(&mut self, expression: &str) -> Value {
        let ask = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", ask);
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// The text of an element, as a person sees it.
    pub(crate) fn text(&mut self, selector: &str) -> String {
        let text = self.eval(&format!("document.querySelector({})?.innerText ?? ''", json!(selector)));
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until this is true in the page; panics with the page's text when it never is.
    pub(crate) fn until(&mut self, expression: &str) {
        for _ in 0..PATIENCE.as_millis() / STEP.as_millis() {
            if self.eval(&format!("Boolean({expression})")) == true {
                return;
            }
            thread::sleep(STEP);
        }
        let text = self.text("body");
        panic!("never: {expression}\n{text}\n{:?}", self.complaints);
    }

    /// Waits until an element's text holds this.
    pub(crate) fn until_says(&mut self, selector: &str, words: &str) {
        self.until(&format!(
            "document.querySelector({})?.innerText.includes({})",
            json!(selector),
            json!(words)
        ));
    }

    /// Shows the page so wide, in a `light` or a `dark` scheme.
    pub(crate) fn look_as(&mut self, width: u32, scheme: &str) {
        let metrics = json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", metrics);
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.call("Emulation.setEmulatedMedia", features);
    }

    /// A picture of the whole page.
    pub(crate) fn picture(&mut self, file: &Path) {
        // What the page is about to draw, it has drawn after two frames.
        self.eval("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))");
        let ask = json!({"format": "png", "captureBeyondViewport": true});
        let picture = self.call("Page.captureScreenshot", ask);
        let picture = STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        fs::write(file, picture).unwrap();
        println!("a picture of the page: {}", file.display());
    }
}
