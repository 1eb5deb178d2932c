"""Examples for the OpenAPI description; a test sends each one and reads each answer with the real types."""

from __future__ import annotations

QUESTION = {"member_id": "m0000017", "surface": "web", "request_id": "page-view-8f1c"}
ANSWER = {
    "decision_id": "9c1f0a7be1d24b1f8f5d0c2a6e3b7a90",
    "arm": {"arm_id": "career.career_1.web_banner", "product": "career", "creative": "career_1", "channel": "web_banner"},
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
    "actions": [{"id": "career.career_1.web_banner"}, {"id": "business.business_1.web_banner"}],
}
RANK_ANSWER = {
    "ranking": [{"id": "career.career_1.web_banner", "probability": 0.6}, {"id": "business.business_1.web_banner", "probability": 0.3}],
    "eventId": "page-view-8f1c",
    "rewardActionId": "career.career_1.web_banner",
}
