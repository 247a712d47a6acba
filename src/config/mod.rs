//! What the operator wrote, read whole and checked before anything is bound.
//!
//! Files and environment variables are layers ([`load`]) over one another; every scalar stays the text that was
//! written and every key keeps its position (`format`, `node`). Presets are laid under the credentials that use them
//! (`preset`), the whole is read into [`raw`], whose doc comments are the reference, and parsed into [`checked`]
//! (`check`). Everything that is wrong is a [`Fault`], and as many as can be told apart are reported at once.

mod check;
pub mod checked;
mod fault;
mod format;
mod layer;
mod load;
mod node;
mod param;
mod preset;
pub mod raw;
mod read;
mod resolve;

pub use fault::{Fault, Faults, Origin, closest};
pub use load::{Addresses, Loaded, Surroundings, addresses, find, load, specs};
pub use node::KeyPath;
pub use preset::{About, Parameter, presets};

/// The JSON Schema of a config file, for editors; `config/schema.json` is this.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(raw::Config).to_value()
}
