//! Signing in with a browser, and looking before: the real binary, an authorization server that counts, and a browser
//! that is a socket.

mod code;
mod device;
mod doctor;
mod refreshes;
mod world;
