//! Connections to upstreams and token endpoints.
