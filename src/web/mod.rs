//! Pages, their live updates, and the API; the only place that names axum and askama.
//!
//! A page is a view struct beside its handler in `views/`, with a template of its content only; the
//! frame around it is added by [`visit::Visit::page`], which sends the content alone when the script
//! asks for what changed. To add a page: a file in `views/`, a template, a route in `server.rs`, an
//! entry in the rail, and a sample for the test that renders every template.
//!
//! Everything that a broker says passes the escaper in `escape`; only `markup` and templates make HTML.
//! All state of a page is in its URL; everything works with plain links and forms, the script in
//! `static/` only saves reloads.

mod api;
mod assets;
mod audit_filter;
mod body_limit;
mod chart;
pub mod escape;
mod events;
mod health;
mod lines;
mod listener;
pub(crate) mod markup;
mod parameters;
mod path;
mod problem;
mod scrape;
mod security;
mod server;
mod state;
mod table;
mod trace_query;
pub(crate) mod views;
mod visit;

pub use scrape::answer_scrape;
pub use server::{router, serve};
pub use state::AppState;
pub use views::{dead_letter_pages, edited_without_change};
