//! The real binary with the demonstration's config and some credentials that are broken, in front of the emulated APIs,
//! which run in the test's process.

use std::{fs, net::SocketAddr, thread, time::Duration};

use bearerd::demo::{Apis, Options, Places, config_yaml, flow_retail, pos};
use serde_json::Value;

use crate::{
    client::Ask,
    message::Message,
    program::{Place, Program},
};

/// Between two looks at something that is about to change.
const STEP: Duration = Duration::from_millis(10);

/// The credentials that can't be used.
pub(crate) const BROKEN: [&str; 2] = ["till", "wrong"];

pub(crate) struct World {
    pub(crate) apis: Apis,
    pub(crate) program: Program,
    pub(crate) admin: SocketAddr,
}

impl World {
    pub(crate) async fn new() -> Self {
        let place = Place::new();
        let ca = place.path("ca.pem");
        let apis = Apis::start(Options {
            ca_file: Some(ca.clone()),
            ..Options::default()
        });
        let apis = apis.await.unwrap();
        let any = ([127, 0, 0, 1], 0).into();
        let places = Places {
            ca: &ca,
            state: &place.path("state.db"),
            listener: any,
            probes: any,
            admin: any,
        };
        let (flow, pos) = (apis.flow_retail().base_url(), apis.pos().base_url());
        let config = config_yaml(&apis, &places)
            .replace(
                "\ncredentials:\n",
                &format!(
                    "\ncredentials:\n  till: {{ preset: flow-retail-device, params: {{ base_url: \"{flow}\", app_id: \
                     {} }} }}\n  wrong: {{ preset: pos, params: {{ base_url: \"{pos}\", username: {}, password: \
                     none-of-it, client_id: {}, client_secret: \"{}\" }} }}\n",
                    flow_retail::APP_ID,
                    pos::USER_NAME,
                    pos::CLIENT_ID,
                    pos::CLIENT_SECRET
                ),
            )
            .replace(
                "\nupstreams:\n",
                "\nupstreams:\n  till: { credential: till }\n  wrong: { credential: wrong }\n",
            )
            .replace(
                "\nroutes:\n",
                "\nroutes:\n  till: { prefix: /till, upstream: till }\n  wrong: { prefix: /wrong, upstream: wrong }\n",
            );
        place.configure(&format!("{config}\nlog: {{ format: json }}\n"));
        let program = tokio::task::spawn_blocking(|| place.run()).await.unwrap();
        let log = program.log();
        let said = log
            .lines()
            .find(|line| line.contains("the status page"))
            .expect("where the page is");
        let said: Value = serde_json::from_str(said).unwrap();
        let admin = said["address"].as_str().unwrap().parse().unwrap();
        Self { apis, program, admin }
    }

    /// A request of an application's.
    pub(crate) fn call(&self, target: &str) -> u16 {
        self.program.send(&Ask::get(target)).status()
    }

    /// A request to the admin listener, as the page's own script sends it.
    pub(crate) fn act(&self, method: &str, target: &str, body: &str) -> Message {
        let ask = Ask::to(method, target)
            .header("origin", "http://localhost")
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/json");
        ask.body(body).send(self.admin)
    }

    /// The running one's config, changed.
    pub(crate) fn rewrite(&self, change: impl FnOnce(String) -> String) {
        let file = self.program.place.path("bearerd.yaml");
        let config = change(fs::read_to_string(&file).unwrap());
        fs::write(file, config).unwrap();
    }
}

/// Waits until it is so: a minute at most.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if is_so() {
            return;
        }
        thread::sleep(STEP);
    }
    panic!("never: {what}");
}
