//! The real binary in front of the emulated APIs, which run in the test's process.

use bearerd::demo::{Apis, Options, Places, config_yaml};

use crate::program::{Place, Program};

/// What is added to the demonstration's config.
#[derive(Default)]
pub(crate) struct Extra {
    pub(crate) credentials: String,
    pub(crate) upstreams: String,
    pub(crate) routes: String,
    /// The log's filter.
    pub(crate) level: &'static str,
}

pub(crate) async fn stage(options: Options, extra: impl FnOnce(&Apis) -> Extra) -> (Apis, Program) {
    let place = Place::new();
    let ca = place.path("ca.pem");
    let apis = Apis::start(Options {
        ca_file: Some(ca.clone()),
        ..options
    });
    let apis = apis.await.unwrap();
    let places = Places {
        ca: &ca,
        state: &place.path("state.db"),
        listener: ([127, 0, 0, 1], 0).into(),
        probes: ([127, 0, 0, 1], 0).into(),
        admin: ([127, 0, 0, 1], 0).into(),
    };
    let extra = extra(&apis);
    let mut config = config_yaml(&apis, &places);
    for (section, more) in [
        ("credentials", &extra.credentials),
        ("upstreams", &extra.upstreams),
        ("routes", &extra.routes),
    ] {
        config = config.replace(&format!("\n{section}:\n"), &format!("\n{section}:\n{more}"));
    }
    // Their addresses are to be known beforehand.
    for other in ["probes", "admin"] {
        let bound = format!("{other}: {{ bind: \"127.0.0.1:0\" }}");
        assert!(config.contains(&bound));
        config = config.replace(&bound, &format!("{other}: {{ bind: \"unix:DIR/{other}.sock\" }}"));
    }
    let level = if extra.level.is_empty() { "info" } else { extra.level };
    place.configure(&format!("{config}\nlog: {{ format: json, level: \"{level}\" }}\n"));
    let program = tokio::task::spawn_blocking(|| place.run()).await.unwrap();
    (apis, program)
}
