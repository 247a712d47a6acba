//! bearerd signs in to APIs for software that can't.
//!
//! The rooms, lowest floor first; a room uses only rooms on lower floors:
//!
//! | floor | room | what lives there |
//! | --- | --- | --- |
//! | 0 | [`clock`] [`name`] [`private`] | time, read in one place; typed names; this user's own files |
//! | 1 | [`template`] [`metrics`] [`log`] `traces` | `${scope:name}`; the metric families; the log's writer; spans (feature `otlp`) |
//! | 2 | [`credential`] | grants, replies, placements and the lifecycle: pure decisions |
//! | 3 | [`config`] [`store`] [`upstream`] | what the operator wrote; where chains live; connections |
//! | 4 | [`manager`] | the token manager |
//! | 5 | [`proxy`] | one file per layer, and the whole stack on one screen |
//! | 6 | [`assemble`] | checked config to running program |
//! | 7 | [`serve`] [`admin`] | listeners and drain; probes, metrics page, status |
//! | 8 | [`demo`] | the emulated vendor APIs |
//! | 9 | [`cli`] | the commands |

pub mod admin;
pub mod assemble;
pub mod cli;
pub mod clock;
pub mod config;
pub mod credential;
pub mod demo;
pub mod log;
pub mod manager;
pub mod metrics;
pub mod name;
pub mod private;
pub mod proxy;
pub mod serve;
pub mod store;
pub mod template;
#[cfg(feature = "otlp")]
pub mod traces;
pub mod upstream;
