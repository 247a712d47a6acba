//! Lays the program out for memory: what most processes never run stands apart from what all of them do.
//!
//! The system maps a program's pages around each one that is touched, so a function that nobody calls is resident memory
//! in every pod if it stands between two that are called. Linkers put functions where they come; here those of other
//! stores, protocols and commands get a section of their own.
//!
//! The linker is told so in a script, which not every linker takes: where one is chosen, nothing is said to it, and
//! `BEARERD_PLAIN_LAYOUT=1` says nothing to the usual one either. The program does the same without.

use std::{env, error::Error, fs, path::Path, process::Command};

/// Crates that a proxy with the default store, over HTTP/1.1, seldom or never runs.
const CRATES: [&str; 23] = [
    // The shared stores.
    "tokio_postgres",
    "postgres_types",
    "postgres_protocol",
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
    // Backtraces.
    "gimli",
    "addr2line",
    "rustc_demangle",
    "miniz_oxide",
    "backtrace_rs",
];

/// Modules of which the same is true.
const MODULES: [&str; 30] = [
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
    "bearerd::manager::subjects",
    "bearerd::proxy::upgrade",
    "bearerd::upstream::switch",
    "hyper::proto::h2",
    "hyper::server::conn::http2",
    "hyper::client::conn::http2",
    "hyper_util::server",
    "webpki::crl",
    // TLS for callers, and what a server of today has no use for.
    "rustls::server",
    "rustls::client::tls12",
    "rustls::client::ech",
    // Long lists, sorted.
    "core::slice::sort",
    "tokio::process",
    // Help.
    "clap_builder::output::help_template",
];

/// Objects of aws-lc, what only other processors run, and what hardly any server asks for; and of the allocator, what is
/// not turned on.
const OBJECTS: [&str; 21] = [
    "avx512",
    "p384",
    "p521",
    "ed25519",
    "edwards25519",
    "p256_mont",
    "x86_64-mont5",
    "rsaz",
    "chacha",
    "poly1305",
    "gcmsiv",
    "mldsa",
    "mlkem",
    "ripemd",
    "sha1-x86",
    "x25519.",
    "x25519base.",
    "ctl.pic",
    "stats.pic",
    "hpa.pic",
    "hpdata.pic",
];

/// Functions of the one object that most of aws-lc is.
const FUNCTIONS: [&str; 8] = ["mldsa", "mlkem", "nistp", "p224", "p384", "p521", "nohw", "keccak"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=BEARERD_PLAIN_LAYOUT");
    let is_linux = env::var("CARGO_CFG_TARGET_OS")? == "linux";
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let is_chosen = env::var_os("RUSTC_LINKER").is_some() || flags.contains("fuse-ld") || flags.contains("linker");
    let is_plain = env::var_os("BEARERD_PLAIN_LAYOUT").is_some();
    if !is_linux || is_chosen || is_plain || env::var("OPT_LEVEL")? == "0" {
        return Ok(());
    }
    let script = Path::new(&env::var("OUT_DIR")?).join("apart.ld");
    fs::write(&script, layout())?;
    println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", script.display());
    if loads_packed_relocations() {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    Ok(())
}

/// Whether programs whose relocations are packed start here: seventeen thousand of them are 400 kB, all of which is read
/// at each start, or 10 kB. The GNU C library takes them since 2.36; on an older one the program says what it misses, and
/// is to be built plain.
fn loads_packed_relocations() -> bool {
    let is_native = env::var("HOST").is_ok_and(|host| env::var("TARGET").is_ok_and(|target| host == target));
    let version = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let version = version.ok().and_then(|told| String::from_utf8(told.stdout).ok());
    let numbers = version
        .as_deref()
        .and_then(|text| text.trim().strip_prefix("glibc ")?.split_once('.'));
    let numbers = numbers.and_then(|(major, minor)| Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?)));
    is_native && numbers.is_some_and(|version| version >= (2, 36))
}

/// The linker script; `INSERT` adds to the linker's own. What is listed together stays together.
fn layout() -> String {
    let of_rust = CRATES.iter().chain(&MODULES).flat_map(|path| mangled(path));
    let functions = of_rust.map(|name| format!("*(.text.{name})"));
    let of_c = FUNCTIONS.iter().map(|name| format!("*bcm.o(.text.*{name}*)"));
    let objects = OBJECTS.iter().map(|name| format!("*{name}*.o(.text .text.*)"));
    let all: Vec<String> = functions.chain(of_c).chain(objects).collect();
    format!(
        "SECTIONS {{ .text.apart : {{ {} }} }} INSERT AFTER .text;\n",
        all.join(" ")
    )
}

/// How a path stands in the symbols of its functions, of its types' implementations, and of what drops them.
fn mangled(path: &str) -> [String; 3] {
    let segments: Vec<&str> = path.split("::").collect();
    let own: String = segments
        .iter()
        .map(|segment| format!("{}{segment}", segment.len()))
        .collect();
    let dotted = segments.join("..");
    [
        format!("_ZN{own}*"),
        format!("_ZN*_$LT${dotted}..*"),
        format!("_ZN4core3ptr*drop_in_place$LT${dotted}..*"),
    ]
}
