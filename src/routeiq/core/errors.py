"""The errors RouteIQ raises, each with a `reason` of low cardinality.

The reason is one word (letters and underscores); the same word stands in the response header, the metric label and the
log field. What a person needs to know (file, key, row, what was found, what was expected) is in the message.

    RouteIQError
    ├── ConfigError                 config_invalid        settings or environment; the command line exits with 2
    │   ├── UnknownKey              unknown_key
    │   ├── UnknownStrategy         unknown_strategy
    │   ├── UnknownCandidate        unknown_candidate
    │   └── OutboundRefused         outbound_refused      an address to which the gateway may not send
    ├── ArtifactError               artifact_invalid      a trained artifact cannot be used; never served
    │   ├── ArtifactDigestMismatch  artifact_digest
    │   ├── ArtifactSchemaTooNew    artifact_schema
    │   ├── ArtifactSignatureInvalid  artifact_signature  not signed by a trusted key, or changed since
    │   ├── CandidateMismatch       artifact_candidates
    │   └── EmbedderMismatch        artifact_embedder
    ├── DataError                   data_invalid          a file of outcomes or prompts has a row that cannot be read
    │   └── AuditBroken             audit_broken          a line of the audit is not what was written, or is missing
    ├── RequestInvalid              request_invalid       what a client sent to RouteIQ's own endpoints; 400
    │   ├── BodyTooLarge            body_too_large        413
    │   └── UnknownModel            unknown_model         404; the caller may not have it routed, or it does not exist
    ├── UnknownVersion              unknown_version       404; no such version of the configuration to go back to
    ├── RestartRefused              restart_refused       409; another is under way, or there is nobody to replace
    ├── NoCandidate                 no_candidate          every candidate was filtered out
    ├── FeedbackInvalid             feedback_invalid      422
    ├── UnknownDecision             unknown_decision      404
    ├── StoreUnavailable            store_unavailable     a durable write could not be acknowledged; 503
    ├── AuditUnavailable            audit_unavailable     a change that must be audited and cannot be; 503
    ├── SourceUnavailable           source_unavailable    a configuration could not be fetched; the one before serves
    ├── StateUnavailable            state_unavailable     what the replicas share cannot be reached; 503 for writes
    ├── Overloaded                  overloaded            not let in; 503
    │   ├── QueueFull               queue_full            as many wait as may
    │   ├── DeadlineTooNear         deadline              its turn would come too late
    │   ├── AnswersTooSlow          latency               answers take longer than the operator wants
    │   └── ShareExceeded           team_limit            a team has its share already; 429
    │       └── KeyShareExceeded    key_limit             a key has its share already
    └── EmbedderTimeout             embedder_timeout      features are absent; the decision goes on without them
"""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


class RouteIQError(Exception):
    """Base of every error that RouteIQ raises on purpose."""

    reason = "internal"
    status = 500
    file: Path | None = None
    """A file besides the configuration by whose change this may be mended."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ConfigError(RouteIQError):
    """Settings, a configuration file or an environment variable cannot be used."""

    reason = "config_invalid"


class UnknownKey(ConfigError):
    """A settings key that does not exist."""

    reason = "unknown_key"


class UnknownStrategy(ConfigError):
    """A strategy name that is neither built in nor provided by a named plugin."""

    reason = "unknown_strategy"


class UnknownCandidate(ConfigError):
    """A candidate that is not in LiteLLM's model_list."""

    reason = "unknown_candidate"


class OutboundRefused(ConfigError):
    """A configuration names an address to which the gateway must not send."""

    reason = "outbound_refused"


class ArtifactError(RouteIQError):
    """A trained artifact cannot be used."""

    reason = "artifact_invalid"


class ArtifactDigestMismatch(ArtifactError):
    """The arrays are not the ones the manifest was written for."""

    reason = "artifact_digest"


class ArtifactSchemaTooNew(ArtifactError):
    """The artifact was written by a newer RouteIQ."""

    reason = "artifact_schema"


class ArtifactSignatureInvalid(ArtifactError):
    """No trusted key vouches for the artifact, or it was changed after it was signed."""

    reason = "artifact_signature"


class CandidateMismatch(ArtifactError):
    """The artifact knows none of the candidates it is asked to rank."""

    reason = "artifact_candidates"


class EmbedderMismatch(ArtifactError):
    """The artifact was trained on the vectors of another embedder."""

    reason = "artifact_embedder"


class DataError(RouteIQError):
    """A file of prompts, outcomes or models has content that cannot be read; the message names file and row."""

    reason = "data_invalid"
    status = 422


class AuditBroken(DataError):
    """A line of the audit is not what was written, or not where it was written."""

    reason = "audit_broken"


class RequestInvalid(RouteIQError):
    """A request to one of RouteIQ's own endpoints is malformed."""

    reason = "request_invalid"
    status = 400


class BodyTooLarge(RequestInvalid):
    """The body of a request to one of RouteIQ's own endpoints is longer than that endpoint reads."""

    reason = "body_too_large"
    status = 413


class UnknownModel(RequestInvalid):
    """A model that does not exist, or that the caller may not call; the two are not told apart."""

    reason = "unknown_model"
    status = 404


class UnknownVersion(RouteIQError):
    """A version of the configuration that this process has not served, so that it cannot be put back."""

    reason = "unknown_version"
    status = 404


class RestartRefused(RouteIQError):
    """A rolling restart that cannot begin: another one is under way, or a replica is a single process."""

    reason = "restart_refused"
    status = 409


class NoCandidate(RouteIQError):
    """No candidate is left after filtering."""

    reason = "no_candidate"
    status = 503


class FeedbackInvalid(RouteIQError):
    """Feedback outside its range or of an unknown form."""

    reason = "feedback_invalid"
    status = 422


class UnknownDecision(RouteIQError):
    """No decision with this id is known."""

    reason = "unknown_decision"
    status = 404


class StoreUnavailable(RouteIQError):
    """A durable write could not be acknowledged, so it must be sent again."""

    reason = "store_unavailable"
    status = 503


class AuditUnavailable(RouteIQError):
    """The audit cannot be written, and the operator wants no change that is not in it."""

    reason = "audit_unavailable"
    status = 503


class SourceUnavailable(RouteIQError):
    """An object store or web server did not give what was asked for; what was fetched before goes on serving."""

    reason = "source_unavailable"
    status = 503


class StateUnavailable(RouteIQError):
    """The state that workers and replicas share did not answer in time; requests go on with what this worker knows."""

    reason = "state_unavailable"
    status = 503


class Overloaded(RouteIQError):
    """A request that was not let in; `retry_after_s` is when it is worth another try."""

    reason = "overloaded"
    status = 503

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class QueueFull(Overloaded):
    """As many requests wait for this worker as may."""

    reason = "queue_full"


class DeadlineTooNear(Overloaded):
    """The request's turn would come after its time to wait is over, or did not come in that time."""

    reason = "deadline"


class AnswersTooSlow(Overloaded):
    """Answers take longer than the operator wants, so fewer requests are let in."""

    reason = "latency"


class ShareExceeded(Overloaded):
    """The team, or the key without a team, has as many requests under way and waiting as its share allows."""

    reason = "team_limit"
    status = 429


class KeyShareExceeded(ShareExceeded):
    """The key has as many requests under way as its own share allows."""

    reason = "key_limit"


class EmbedderTimeout(RouteIQError):
    """The embedder did not answer within its deadline."""

    reason = "embedder_timeout"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a clause that names the nearest known name, or lists what is known; ends a message of an error."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    if not names:
        return "none is known"
    shown = ", ".join(names[:20])
    return f"known: {shown}" + (f" and {len(names) - 20} more" if len(names) > 20 else "")
