//! Lays the program out for memory: what most processes never run stands apart from what all of them do.
//!
//! The system maps a program's pages around each one that is touched, so a function that nobody calls is resident memory
//! in every pod if it stands between two that are called. Linkers put functions where they come; here those of other
//! stores, protocols and commands get a section of their own. Where a linker takes no script, nothing is lost but that.

use std::{env, error::Error, fs, path::Path};

/// Crates that a proxy with the default store, over HTTP/1.1, has no use for.
const CRATES: [&str; 23] = [
    // The shared stores.
    "tokio_postgres",
    "postgres_types",
    "redis",
    "combine",
    "tokio_util",
    // HTTP/2.
    "h2",
    // Subjects and limits.
    "moka",
    "crossbeam_channel",
    "crossbeam_epoch",
    "tagptr",
    "governor",
    // Commands.
    "clap_complete",
    "clap_mangen",
    "qrcode",
    "schemars",
    // The demonstration's certificates.
    "rcgen",
    "yasna",
    // Readable dates.
    "jiff",
    // Backtraces.
    "gimli",
    "addr2line",
    "rustc_demangle",
    "miniz_oxide",
    "backtrace_rs",
];

/// Modules of which the same is true.
const MODULES: [&str; 26] = [
    "bearerd::admin",
    "bearerd::demo",
    "bearerd::store::postgres",
    "bearerd::store::redis",
    "bearerd::store::remote",
    "bearerd::cli::call",
    "bearerd::cli::check",
    "bearerd::cli::demo",
    "bearerd::cli::doctor",
    "bearerd::cli::health",
    "bearerd::cli::init",
    "bearerd::cli::login",
    "bearerd::cli::presets",
    "bearerd::cli::state",
    "bearerd::cli::status",
    "bearerd::manager::login",
    "bearerd::proxy::upgrade",
    "bearerd::upstream::switch",
    "hyper::proto::h2",
    "hyper::server::conn::http2",
    "hyper::client::conn::http2",
    "hyper_util::server",
    "rustls::server",
    "webpki::crl",
    "tokio::process",
    "core::slice::sort",
];

/// Objects of aws-lc: what only other processors run, and what hardly any server asks for.
const OBJECTS: [&str; 6] = ["avx512", "p384", "p521", "25519", "mldsa", "mlkem"];

/// Functions: aws-lc's of the same kind, SQLite's full text search, and the standard library's backtraces.
const FUNCTIONS: [&str; 5] = ["mldsa", "mlkem", "fts", "_R*gimli", "_R*rustc_demangle"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let is_linux = env::var("CARGO_CFG_TARGET_OS")? == "linux";
    // Mold takes no scripts.
    let is_mold = env::var("CARGO_ENCODED_RUSTFLAGS").is_ok_and(|flags| flags.contains("mold"));
    if !is_linux || is_mold || env::var("OPT_LEVEL")? == "0" {
        return Ok(());
    }
    let script = Path::new(&env::var("OUT_DIR")?).join("apart.ld");
    fs::write(&script, layout())?;
    println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", script.display());
    Ok(())
}

/// The linker script; `INSERT` adds to the linker's own. What is listed together stays together.
fn layout() -> String {
    let of_rust = CRATES.iter().chain(&MODULES).flat_map(|path| mangled(path));
    // What shows a value to a programmer, of whatever type.
    let of_debug = ["*core..fmt..Debug*".to_owned()];
    let of_c = FUNCTIONS.iter().map(|name| format!("{name}*"));
    let functions = of_rust
        .chain(of_c)
        .chain(of_debug)
        .map(|name| format!("*(.text.{name})"));
    let objects = OBJECTS.iter().map(|name| format!("*{name}*.o(.text .text.*)"));
    let all: Vec<String> = functions.chain(objects).collect();
    format!(
        "SECTIONS {{ .text.apart : {{ {} }} }} INSERT AFTER .text;\n",
        all.join(" ")
    )
}

/// How a path stands in the symbols of its functions, and of its types' implementations.
fn mangled(path: &str) -> [String; 2] {
    let segments: Vec<&str> = path.split("::").collect();
    let own: String = segments
        .iter()
        .map(|segment| format!("{}{segment}", segment.len()))
        .collect();
    [format!("_ZN{own}*"), format!("_ZN*_$LT${}..*", segments.join(".."))]
}
