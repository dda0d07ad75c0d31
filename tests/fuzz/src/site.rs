//! A dashboard without a network: a real store in a folder of its own, and the pages and API over it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use redrive::alerts::AlertBoard;
use redrive::config::Config;
use redrive::dead_letters::{
    BulkActions, IntakeBoard, IntakeContext, Looks, ManagedQueues, Observer, Repairs,
};
use redrive::domain::Snapshot;
use redrive::metrics::Metrics;
use redrive::replay;
use redrive::sampling::SamplingHandle;
use redrive::sandbox::Sandbox;
use redrive::schemas::Schemas;
use redrive::store::Store;
use redrive::traces::{ExportBoard, TapBoard};
use redrive::web::{self, AppState};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// Nothing is answered with more.
const LARGEST_ANSWER: usize = 256 * 1024 * 1024;

pub(crate) struct Site {
    pub(crate) store: Store,
    router: Router,
    runtime: Runtime,
    _folder: TempDir,
}

impl Site {
    pub(crate) fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime starts");
        let folder = tempfile::tempdir().expect("there is room for a store");
        let (store, router) = runtime.block_on(serve(folder.path()));
        Self {
            store,
            router,
            runtime,
            _folder: folder,
        }
    }

    pub(crate) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    pub(crate) fn get(&self, path: &str) -> (StatusCode, String) {
        self.ask(Method::GET, path, Body::empty())
    }

    pub(crate) fn post(&self, path: &str, body: &[u8]) -> (StatusCode, String) {
        self.ask(Method::POST, path, Body::from(body.to_vec()))
    }

    /// Whatever was sent, the answer is no failure of ours.
    fn ask(&self, method: Method, path: &str, body: Body) -> (StatusCode, String) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .body(body)
            .expect("the path is encoded");
        let (status, text) = self.wait(async {
            let answer = self.router.clone().oneshot(request).await;
            let answer = answer.expect("a router always answers");
            let status = answer.status();
            let bytes = axum::body::to_bytes(answer.into_body(), LARGEST_ANSWER).await;
            let bytes = bytes.expect("the answer is bounded");
            (status, String::from_utf8(bytes.into()).expect("it is text"))
        });
        assert!(!status.is_server_error(), "{path}: {status}: {text}");
        (status, text)
    }
}

async fn serve(folder: &Path) -> (Store, Router) {
    let url = format!("sqlite:{}", folder.join("redrive.db").display());
    let store = Store::open(&url).await.expect("a new store opens");
    let config = Arc::new(Config::parse("", []).expect("the defaults are valid"));
    let metrics = Arc::new(Metrics::new(Duration::from_secs(10)));
    let sampling = SamplingHandle::still(Snapshot::default());
    let stop = CancellationToken::new();
    // No input reaches a program or a schema, so that no child is ever started.
    let sandbox = Sandbox::of("none");
    let schemas = Schemas::load(&config.schemas, &sandbox).await;
    let schemas = schemas.expect("there are no schemas");
    let snapshots = sampling.subscribe();
    // The tasks that would send are left out.
    let replay = replay::start(&config, &store, &metrics, snapshots, &stop, None, drop);
    let replay = replay.expect("the defaults can be sent with");
    let intake = IntakeContext {
        config: Arc::clone(&config),
        store: store.clone(),
        metrics: Arc::clone(&metrics),
        snapshots: sampling.subscribe(),
        board: IntakeBoard::default(),
        managed: ManagedQueues::default(),
        looks: Looks::default(),
        stop: stop.clone(),
    };
    let state = AppState {
        config,
        store: store.clone(),
        sampling,
        metrics,
        replay: replay.clone(),
        intake: intake.board.clone(),
        observer: Observer::new(intake),
        bulk_actions: BulkActions::new(store.clone()),
        schemas,
        repairs: Repairs::new(store.clone(), sandbox, replay),
        alerts: AlertBoard::default(),
        trace_export: ExportBoard::default(),
        taps: TapBoard::default(),
        stop,
    };
    (store, web::router(state))
}
