"""Examples for the OpenAPI description; a test sends each one and reads each answer with the real types."""

from __future__ import annotations

QUESTION = {"member_id": "m0000017", "surface": "web", "request_id": "page-view-8f1c"}
ANSWER = {
    "decision_id": "9c1f0a7be1d24b1f8f5d0c2a6e3b7a90",
    "arm": {"arm_id": "career.who_viewed.feed", "product": "career", "creative": "who_viewed", "channel": "feed"},
    "propensity": 0.41796875,
    "model_version": "3",
    "expires_at": "2026-03-02T12:30:00Z",
    "reason": "champion",
}
OUTCOMES = [
    {"outcome_id": "click-8f1c", "decision_id": "9c1f0a7be1d24b1f8f5d0c2a6e3b7a90", "kind": "click", "occurred_at": "2026-03-02T12:01:07Z"},
    {"outcome_id": "sale-8f1c", "decision_id": "9c1f0a7be1d24b1f8f5d0c2a6e3b7a90", "kind": "conversion", "occurred_at": "2026-03-02T12:09:41Z", "value": 39.0},
]
OUTCOMES_ANSWER = {"accepted": 2, "repeated": 0, "refused": []}
RANK = {
    "eventId": "page-view-8f1c",
    "contextFeatures": [{"member_id": "m0000017", "surface": "web"}],
    "actions": [{"id": "career.who_viewed.feed"}, {"id": "recruiter.first_hire.feed"}],
}
RANK_ANSWER = {
    "ranking": [{"id": "career.who_viewed.feed", "probability": 0.6}, {"id": "recruiter.first_hire.feed", "probability": 0.3}],
    "eventId": "page-view-8f1c",
    "rewardActionId": "career.who_viewed.feed",
}
RECORD = {
    "decision_id": "9c1f0a7be1d24b1f8f5d0c2a6e3b7a90",
    "request_id": "page-view-8f1c",
    "member_id": "m0000017",
    "surface": "web",
    "decided_at": "2026-03-02T12:00:00Z",
    "expires_at": "2026-03-02T12:30:00Z",
    "arm": ANSWER["arm"],
    "propensity": 0.41796875,
    "reason": "champion",
    "assignment_group": "champion",
    "considered": [
        {"arm_id": "none", "propensity": 0.18359375, "mean": 0.011, "sd": 0.006},
        {"arm_id": "career.who_viewed.feed", "propensity": 0.41796875, "mean": 0.019, "sd": 0.012},
        {"arm_id": "recruiter.first_hire.feed", "propensity": 0.3984375, "mean": 0.018, "sd": 0.013},
    ],
    "excluded": {"career.stand_out.banner": "arm is paused"},
    "features": {"visits_7d": 3.0, "country": "NL", "lifetime_value": None},
    "features_at": "2026-03-02T00:00:00Z",
    "feature_age_hours": 12.0,
    "feature_service": "matching_v1",
    "model_version": "3",
    "posterior": 17,
    "arms_version": "5f0c9d1e",
    "data_window": {"first": "2026-01-05T00:00:00+00:00", "last": "2026-02-28T00:00:00+00:00"},
    "u": 0.437,
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "explained": "",
    "outcomes": [OUTCOMES[0]],
}
READY = {"status": "ready", "champion": "3", "posterior": 17, "experiment": None, "troubles": {}}
UNREADY = READY | {"status": "degraded", "champion": None, "posterior": None, "troubles": {"champion": "there is none yet: the safe default answers"}}
METRICS = 'rightmatch_decisions_total{group="champion",reason="champion"} 1724.0'
MALFORMED = ("Malformed JSON", "Input data was truncated. Nothing was decided or applied.")
"""Where a request has a body, instead of what PROBLEMS has."""
PROBLEMS = {
    "400": ("Unreadable request", "What came is no request of HTTP/1.1, so nothing was decided or applied. The connection is closed."),
    "401": ("Unauthorized", "Send a valid key as `Authorization: Bearer rm_...`."),
    "403": ("Forbidden", "Key 3d972f27fadc9909 lacks the scope 'read'. Create one that has it: rightmatch keys create NAME --scope read."),
    "404": ("Unknown decision", "There is no decision 'nope' in the log. Check the id."),
    "409": ("Request id reused", "Request 'page-view-8f1c' was already answered for another member, surface, channels or exclusions."),
    "413": ("Request too large", "A body may have 1048576 bytes. Send fewer outcomes at once."),
    "415": ("Unsupported media type", "The body says to be 'text/xml'; send application/json."),
    "422": ("Invalid request", "Invalid enum value 'fax' - at `$.surface`; allowed: 'web', 'app', 'outbound'. Nothing was decided or applied."),
    "429": ("Too many requests", "Key 3d972f27fadc9909 made more than 120000 per 1 minute. Wait 21 s, or raise serving.rate_limit."),
    "431": ("Request header fields too large", "A request may have 1000 headers, and 65536 bytes of them. Send fewer."),
    "500": ("Internal error", "The service failed on this request; its log says why. Nothing was half-applied."),
    "503": ("Log unavailable", "The decision could not be kept, so nothing may be shown. Try again shortly."),
}
"""Title and detail by status."""
