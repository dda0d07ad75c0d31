//! The pages: one file each, with its view struct and its handler. A template holds the content of its
//! page only.

mod alert;
mod alerts;
mod audit;
mod bulk_form;
mod charts;
mod consumer_group;
mod consumers;
mod custody;
mod dead_letter;
mod dead_letter_list;
mod decision_form;
mod diff_view;
mod discard;
mod discarded;
mod duplicates;
mod edit;
mod edited_events;
mod error_page;
mod error_view;
mod evidence;
mod facts_view;
mod failure_group;
mod failure_groups;
mod flow;
mod flow_drawing;
mod flow_layout;
mod frame;
mod freshness;
mod headers_view;
mod history_view;
mod letter_cells;
mod letter_columns;
mod look_notice;
mod notifications;
mod open_replays;
mod overview;
mod passes;
mod payload;
mod payload_tab;
mod pivot;
mod preflight;
mod queue;
mod queue_custody;
mod queue_troubles;
mod queues;
mod redrive_policy;
mod repair;
mod replay_actions;
mod replay_form;
mod replay_job;
mod replays;
mod retention_view;
mod revert;
mod saved_filters;
mod schema_view;
mod shown_revision;
mod stack_view;
mod status;
mod theme;
mod trace;
mod trace_export_view;
mod trace_gaps;
mod trace_rows;
mod traces;

pub(crate) use alert::alert;
pub(crate) use alerts::alerts;
pub(crate) use audit::audit;
pub(crate) use bulk_form::{PATIENCE, checked_reason};
pub(crate) use consumer_group::consumer_group;
pub(crate) use consumers::consumers;
pub(crate) use custody::{fetch_body, requester, return_dead_letter, take_dead_letter};
pub use dead_letter::dead_letter_pages;
pub(crate) use dead_letter::{dead_letter, download_payload};
pub(crate) use dead_letter_list::dead_letter_list;
pub(crate) use discard::{confirm_discard, discard};
pub(crate) use discarded::{discarded, restore};
pub(crate) use duplicates::{duplicates, who_consumes};
pub use edit::edited_without_change;
pub(crate) use edit::{
    PROPERTIES, edit, must_be_deliverable, review_edit, save_edit, save_revision, typed,
};
pub(crate) use error_page::ErrorPage;
pub(crate) use evidence::evidence;
pub(crate) use failure_group::{
    NOTES, assign_failure_group, author, checked_assignee, checked_note, failure_group,
    known_group, note_failure_group,
};
pub(crate) use failure_groups::failure_groups;
pub(crate) use flow::{flow, flow_of_the_last_hour};
pub(crate) use frame::{Frame, NavigationEntry};
pub(crate) use letter_columns::keep_columns;
pub(crate) use notifications::{kind_name, queue_test, send_test_notification};
pub(crate) use open_replays::{awaited_replays, resolve_unknown_replays, unknown_replays};
pub(crate) use overview::overview;
pub(crate) use payload::json_text as laid_out;
pub(crate) use pivot::{known_field, pivot};
pub(crate) use preflight::{actor, changed_meanwhile, preflight, start_replay};
pub(crate) use queue::{look_at_queue, queue};
pub(crate) use queue_custody::{
    change_custody, explain_custody, parse_custody, place, set_custody,
};
pub(crate) use queues::queues;
pub(crate) use redrive_policy::{
    no_policy, parse_delay, remove_policy, remove_redrive_policy, save_policy, set_redrive_policy,
};
pub(crate) use repair::{new_repair, repair, repair_progress};
pub(crate) use replay_actions::{
    cancel_replay, parse_decision, parse_job, parse_replay, pause_replay, resolve_replay,
    resume_replay, set_brake,
};
pub(crate) use replay_form::start_time;
pub(crate) use replay_job::{chosen_state, replay_job};
pub(crate) use replays::replays;
pub(crate) use revert::{back_to, revert_edit};
pub(crate) use saved_filters::{
    remove as remove_filter, remove_saved_filter, save as save_filter_as, save_filter,
};
pub(crate) use status::status;
pub(crate) use theme::choose_theme;
pub(crate) use trace::{known_trace, trace};
pub(crate) use traces::{trace_gaps, traces};
