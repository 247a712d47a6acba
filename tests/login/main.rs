//! Signing in with a browser: the real binary, an authorization server that counts, and a browser that is a socket.

mod code;
mod device;
mod refreshes;
mod world;
