//! `bearerd demo`: the emulated APIs, and the proxy in front of them, with nothing to configure.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
};

use super::{
    Failure,
    run::{Addresses, run_once, runtime},
};
use crate::{
    config::{self, Surroundings, checked::Bind},
    demo::{self, Apis, Places, Ports},
    private::make_directory,
    serve::Signals,
};

/// Where the proxy, its probes and its admin listener are, if nothing else is there.
const PORTS: [u16; 3] = [8080, 9900, 9901];

#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Run the emulated APIs alone, for a bearerd of your own
    #[arg(long)]
    apis_only: bool,
    /// The address that the emulated APIs listen on
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    bind: IpAddr,
    /// The name that they are reached by
    #[arg(long, default_value = "localhost")]
    host: String,
    /// The first of the four ports in a row that the emulated APIs listen on; without it, free ones
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=65532))]
    port: Option<u16>,
    /// Where the certificate authority, the config and the state are put; without it a directory that is removed in
    /// the end
    #[arg(long, value_name = "DIRECTORY")]
    dir: Option<PathBuf>,
}

pub(super) fn execute(options: &Options, output: &mut dyn Write) -> Result<(), Failure> {
    let place = Place::make(options.dir.as_deref()).map_err(|error| {
        Failure::Failed(format!(
            "the demonstration has no directory to work in ({error}): name one with --dir"
        ))
    })?;
    let runtime = runtime()?;
    let outcome = runtime.block_on(demonstrate(options, &place.path, output));
    runtime.shutdown_background();
    outcome
}

async fn demonstrate(options: &Options, place: &Path, output: &mut dyn Write) -> Result<(), Failure> {
    let ca = place.join("ca.pem");
    let apis = Apis::start(demo::Options {
        bind: options.bind,
        host: options.host.clone(),
        ports: options.port.map_or_else(Ports::default, |first| Ports {
            flow_retail: first,
            fluent: first + 1,
            pos: first + 2,
            flowlu: first + 3,
        }),
        ca_file: Some(ca.clone()),
        ..demo::Options::default()
    });
    let apis = apis.await.map_err(Failure::failed)?;
    let [listener, probes, admin] = PORTS.map(free);
    let places = Places {
        ca: &ca,
        state: &place.join("state.db"),
        listener,
        probes,
        admin,
    };
    let file = place.join("bearerd.yaml");
    fs::write(&file, demo::config_yaml(&apis, &places))
        .map_err(|error| Failure::Failed(format!("{} can't be written: {error}", file.display())))?;
    writeln!(output, "The emulated APIs, for clients that trust {}:", ca.display())?;
    for api in apis.all() {
        writeln!(output, "  {:12} {}", api.name(), api.base_url())?;
    }
    if options.apis_only {
        writeln!(
            output,
            "\nA config that uses them, with made-up secrets: {}",
            file.display()
        )?;
        writeln!(output, "Control-C ends them.")?;
        output.flush()?;
        let mut signals =
            Signals::listen().map_err(|error| Failure::Failed(format!("no signals can be had: {error}")))?;
        signals.next().await;
        return Ok(());
    }
    // The machine's own variables are for its own bearerd.
    let surroundings = Surroundings {
        env: BTreeMap::new(),
        ..Surroundings::of_process()
    };
    let loaded = config::load(std::slice::from_ref(&file), &surroundings);
    let loaded = loaded.map_err(|faults| Failure::Config(faults.to_string()))?;
    run_once(loaded, |addresses| invite(addresses, &file, output)).await
}

/// Says what to try.
fn invite(addresses: &Addresses, file: &Path, output: &mut dyn Write) -> Result<(), Failure> {
    let listener = addresses.listeners.iter().find_map(|(_, bind)| match bind {
        Bind::Tcp(address) => Some(*address),
        Bind::Unix(_) => None,
    });
    if let Some(Bind::Tcp(admin)) = &addresses.admin {
        writeln!(
            output,
            "\nThe status page, to watch all this in a browser: http://{admin}/"
        )?;
    }
    writeln!(
        output,
        "\nTry, in another terminal; the first of each kind signs in, and tokens live for seconds:"
    )?;
    for line in listener.map(demo::curl_lines).unwrap_or_default() {
        writeln!(output, "\n# {}\n{}", line.about, line.command)?;
    }
    if let Some(Bind::Tcp(probes)) = &addresses.probes {
        writeln!(output, "\n# The metrics\ncurl http://{probes}/metrics")?;
    }
    if let Some(Bind::Tcp(admin)) = &addresses.admin {
        writeln!(
            output,
            "\n# What it holds; also: bearerd status --config {}",
            file.display()
        )?;
        writeln!(output, "curl http://{admin}/status")?;
    }
    writeln!(output, "\nControl-C ends it.")?;
    Ok(output.flush()?)
}

/// That port of this machine, else a free one.
fn free(port: u16) -> SocketAddr {
    let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    TcpListener::bind(wanted)
        .or_else(|_| TcpListener::bind(any))
        .and_then(|listener| listener.local_addr())
        .unwrap_or(wanted)
}

/// Where the demonstration keeps its things.
struct Place {
    path: PathBuf,
    is_temporary: bool,
}

impl Place {
    /// The directory named, else a new one that only this user can read.
    fn make(named: Option<&Path>) -> io::Result<Self> {
        let path = match named {
            Some(path) => path.to_owned(),
            None => std::env::temp_dir().join(format!("bearerd-demo-{}", std::process::id())),
        };
        let is_temporary = named.is_none();
        // Someone else's directory is not taken over: a new one must be new.
        make_directory(&path, !is_temporary)?;
        Ok(Self {
            path: path.canonicalize()?,
            is_temporary,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_temporary {
            // What can't be removed is in the directory for temporary files.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
