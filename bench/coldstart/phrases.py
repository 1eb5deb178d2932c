"""What the creatives of this benchmark are made of: meanings, each with wordings that a log may use and one that it never does.

A text says a tone, a benefit of its product and a call to action. The last wording of each meaning shares hardly a word with the others.
"""

from __future__ import annotations

from collections.abc import Mapping

Wordings = tuple[str, ...]

TONES: tuple[Wordings, ...] = (
    ("Good news", "We have good news for you", "Great tidings"),
    ("Hurry", "Be quick, hurry", "Act fast"),
    ("For experts", "Made for experts", "Professionals rely on this"),
    ("Just between us", "Between us friends", "A personal word, dear colleague"),
    ("Did you know?", "A quick question: did you know?", "Curious fact"),
    ("Proven by thousands", "Thousands have proven it", "Trusted widely, with results on record"),
)
CALLS: tuple[Wordings, ...] = (
    ("Start your free trial", "Try it free", "Test without paying"),
    ("Buy now", "Buy it today", "Purchase immediately"),
    ("Learn more", "Learn how it works", "Read the details"),
    ("Watch the demo", "See the demo video", "View a video presentation"),
    ("Talk to our team", "Call our team", "Speak with an adviser"),
)
BENEFITS: Mapping[str, tuple[Wordings, ...]] = {
    "career": (
        ("See who viewed your profile", "Find out who looks at your profile", "Discover which visitors checked your page"),
        ("Get more job interviews", "Be invited to interviews sooner", "Meet more employers face to face"),
        ("Earn a higher salary", "Know the salary before you apply", "Make more money in your next position"),
        ("Learn skills with online courses", "Take courses that teach new skills", "Study and become better trained"),
        ("Stand out among applicants", "Your application stands out", "Be noticed ahead of rival candidates"),
    ),
    "recruiter": (
        ("Find the right candidates", "Search for candidates that fit", "Discover suitable talent"),
        ("Fill open roles faster", "Close open roles in days", "Hire staff quickly"),
        ("Save hours on messages", "Write fewer messages, save hours", "Spend less effort on correspondence"),
        ("Hire without agency fees", "Pay no agency fees", "Recruit staff cheaply on your own"),
        ("Build a diverse team", "Reach diverse candidates for your team", "Employ people of many backgrounds"),
    ),
    "business": (
        ("Grow your company page", "Get more followers for your page", "Expand the audience of your firm"),
        ("Reach customers near you", "Find local customers", "Attract buyers in the neighbourhood"),
        ("Know your market", "Understand your market with data", "Insight into industry trends"),
        ("Advertise at lower cost", "Cut the cost of your ads", "Cheap promotion for your brand"),
        ("Protect your reputation", "Manage reviews and reputation", "Keep what people say about you positive"),
    ),
    "sales": (
        ("Turn cold calls into warm leads", "Get warm leads", "Meet prospects who already want to hear you"),
        ("Close deals faster", "Win deals sooner", "Sign contracts in less time"),
        ("Reach your quota", "Hit quota every quarter", "Achieve your selling targets"),
        ("Track your accounts with alerts", "Alerts when an account changes", "Be notified about client news"),
        ("Share lead lists with your team", "One lead list for the whole team", "Collaborate with fellow sellers"),
    ),
}
