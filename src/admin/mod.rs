//! The program as seen from outside: probes, the metrics page, the status page, live and for people or as JSON, and what
//! `bearerd login` needs.
//!
//! The probes listener ([`Probes`]) only tells; it may be exposed. The admin listener ([`Admin`]) acts with the
//! credentials too, so it stays on loopback or a Unix socket and refuses what browsers send from other pages.
//! Both look at the program through [`Watched`].

mod actions;
mod answer;
mod exposition;
mod flow;
mod guard;
mod live;
mod overview;
mod page;
mod probes;
mod status;
mod traffic;
mod watched;

pub use actions::{Admin, NOT_THIS_FLOW};
pub use answer::Body;
pub use exposition::prometheus_text;
pub use flow::{FlowAnswer, FlowAsk, FlowBegun, FlowTold};
pub use live::MOST_WATCHERS;
pub use overview::Overview;
pub use probes::Probes;
pub use status::{
    ConfigStatus, CredentialStatus, LastError, LogStatus, Moment, Readiness, Ready, RouteStatus, Status, StoreStatus,
    TokenEvent,
};
pub use watched::{ActionError, Answers, Done, Watched};

#[cfg(test)]
mod tests;
