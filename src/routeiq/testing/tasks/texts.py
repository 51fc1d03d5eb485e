"""Families of short texts: extraction to JSON, and classification by stated rules.

Owns their templates. The truth of an extraction is what the text was written from; the truth of a classification
follows from rules that the prompt states, so that nobody has to agree with our taste.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

from routeiq.testing.tasks.checks import json_check
from routeiq.testing.tasks.draft import NAMES, Draft, text_draft

_CITIES = ("Lisbon", "Oslo", "Nairobi", "Hanoi", "Quito", "Turin", "Leeds", "Perth", "Riga", "Osaka", "Porto", "Ghent")
_SURNAMES = ("Okafor", "Lindqvist", "Moreau", "Tanaka", "Silva", "Novak", "Haddad", "Keller", "Byrne", "Castillo")
_TRADES = ("plumber", "translator", "geologist", "nurse", "baker", "surveyor", "pilot", "librarian")
_ITEMS = ("desk lamp", "office chair", "water filter", "phone case", "garden hose", "coffee grinder", "bike pump")
_MONTHS = ("January", "March", "April", "June", "August", "October", "November")
_MONTH_NUMBERS = dict(zip(_MONTHS, (1, 3, 4, 6, 8, 10, 11), strict=True))


def _json_draft(rng: Random, request: str, text: str, truth: Any, mistakes: list[Any]) -> Draft:
    check = json_check(truth)
    wrong = [json.dumps(m, ensure_ascii=False) for m in mistakes if m != truth]
    prompt = rng.choice((f"{request}\n\nText: {text}", f"{text}\n\n{request}", f'{request}\n"""{text}"""'))
    return Draft(prompt, json.dumps(truth, ensure_ascii=False), tuple(wrong), check)


def _person(rng: Random) -> Draft:
    name, city, trade, age = rng.choice(NAMES), rng.choice(_CITIES), rng.choice(_TRADES), rng.randint(21, 74)
    text = rng.choice((
        f"{name}, {age}, works as a {trade} in {city}.",
        f"Our neighbour {name} moved to {city} at the age of {age} and is a {trade}.",
        f"In {city} we met {name}, a {trade} who had just turned {age}.",
    ))  # fmt: skip
    request = rng.choice((
        "Extract the keys name, age (a number) and city as one JSON object.",
        "Return JSON with exactly the keys name, age and city; age is a number.",
    ))  # fmt: skip
    truth = {"name": name, "age": age, "city": city}
    return _json_draft(rng, request, text, truth, [truth | {"age": age + 1}, truth | {"city": trade}, {"name": name}])


def _order(rng: Random) -> Draft:
    name, item, city = rng.choice(NAMES), rng.choice(_ITEMS), rng.choice(_CITIES)
    count, price, number = rng.randint(2, 9), rng.randint(10, 90) + 0.5, rng.randint(10_000, 99_999)
    text = rng.choice((
        f"Hello, this is {name}. In order #{number} I asked for {count} pieces of the {item} at {price:.2f} euros "
        f"each, to be sent to {city} - last time it was {count + 2}, so please do not mix them up.",
        f"Order {number}: {count} x {item}, {price:.2f} EUR apiece, ship to {city}. Customer: {name}. (Previous order "
        f"{number - 17} is closed.)",
    ))  # fmt: skip
    request = (
        "Give a JSON object with the keys order (number), item (string), quantity (number), "
        "unit_price (number) and city (string)."
    )
    truth = {"order": number, "item": item, "quantity": count, "unit_price": price, "city": city}
    mistakes = [truth | {"quantity": count + 2}, truth | {"order": number - 17}, truth | {"unit_price": price * count}]
    return _json_draft(rng, request, text, truth, mistakes)


def _meetings(rng: Random) -> Draft:
    people = rng.sample(NAMES, 3)
    rows, sentences = [], []
    for person, surname in zip(people, rng.sample(_SURNAMES, 3), strict=True):
        month, day, hour = rng.choice(_MONTHS), rng.randint(1, 28), rng.randint(1, 8)
        rows.append({
            "name": f"{person} {surname}",
            "date": f"2025-{_MONTH_NUMBERS[month]:02d}-{day:02d}",
            "time": f"{hour + 12:02d}:30",
        })  # fmt: skip
        sentences.append(rng.choice((
            f"{surname}, {person} comes on {month} {day} at half past {hour} in the afternoon.",
            f"On {day} {month}, {hour}:30 pm, it is the turn of {person} {surname}.",
        )))  # fmt: skip
    request = (
        "All dates are in 2025. Return a JSON list, in the order of the text, of objects with name (first name, then "
        "surname), date (YYYY-MM-DD) and time (24-hour HH:MM)."
    )
    shifted = [row | {"time": f"{int(row['time'][:2]) - 12:02d}:30"} for row in rows]
    swapped = [row | {"date": f"2025-{row['date'][8:]}-{row['date'][5:7]}"} for row in rows]
    return _json_draft(rng, request, " ".join(sentences), rows, [shifted, rows[:2], rows[::-1], swapped])


def _ledger(rng: Random) -> Draft:
    goods = rng.sample(_ITEMS, 3)
    rows = [(item, rng.randint(2, 9), rng.randint(3, 60)) for item in goods]
    back = rng.randrange(3)
    text = (
        f"{rng.choice(NAMES)} bought "
        + ", ".join(f"{count} of the {item} for {price} euros a piece" for item, count, price in rows)
        + f". One {rows[back][0]} was sent back the same day and its price refunded."
    )
    kept = [(item, count - (i == back), price) for i, (item, count, price) in enumerate(rows)]
    lines = [{"item": item, "quantity": count, "amount": count * price} for item, count, price in kept]
    request = (
        "Return a JSON object: lines is a list (in the order of the text) of item, quantity kept and amount paid for "
        "them in euros; total is the sum of the amounts."
    )
    truth = {"lines": lines, "total": sum(count * price for _, count, price in kept)}
    gross = [{"item": i, "quantity": c, "amount": c * p} for i, c, p in rows]
    wrong = {"lines": gross, "total": sum(c * p for _, c, p in rows)}
    return _json_draft(rng, request, text, truth, [wrong, {**truth, "total": wrong["total"]}, lines])


def extraction(rng: Random, difficulty: int) -> Draft:
    """One sentence, a message with distractors, and several records with derived values."""
    return rng.choice({1: (_person,), 2: (_order,), 3: (_meetings, _ledger)}[difficulty])(rng)


_GOOD = ("lovely", "flawless", "a pleasure to use", "worth every cent", "better than we hoped", "wonderfully quiet")
_BAD = ("a disappointment", "broken on arrival", "painfully slow", "a waste of money", "noisy and fragile", "useless")
_ROUTES = {
    "billing": ("charged twice for one month", "an invoice with the wrong address", "a refund that never came"),
    "technical": ("an app that crashes at start", "a login page that stays blank", "an export that stops half-way"),
    "delivery": ("a parcel that is a week late", "a box left at the wrong house", "a courier who never rang"),
    "sales": ("a quote for forty seats", "the price of the larger plan", "a trial for our school"),
}


def _sentiment(rng: Random) -> Draft:
    item, good = rng.choice(_ITEMS), rng.random() < 0.5
    word = rng.choice(_GOOD if good else _BAD)
    review = rng.choice((
        f"The {item} is {word}.",
        f"After a month with this {item}: {word}.",
        f"{rng.choice(NAMES)} gave me the {item}, and honestly it is {word}.",
    ))  # fmt: skip
    question = rng.choice((
        f'Is this review positive or negative? "{review}"',
        f'Label the sentiment as positive or negative: "{review}"',
    ))  # fmt: skip
    return text_draft(rng, question, ("positive" if good else "negative",), ["negative" if good else "positive"])


def _ticket(rng: Random) -> Draft:
    label = rng.choice(list(_ROUTES))
    body = rng.choice((
        f"Hello, I am writing because of {rng.choice(_ROUTES[label])}. Regards, {rng.choice(NAMES)}",
        f"Subject: {rng.choice(_ROUTES[label])}. I am in {rng.choice(_CITIES)} and can be reached in the evening.",
        f"This is about {rng.choice(_ROUTES[label])}; my colleague {rng.choice(NAMES)} has the details.",
    ))  # fmt: skip
    labels = rng.sample(list(_ROUTES), len(_ROUTES))
    question = f'Which team gets this message: {", ".join(labels)}? "{body}" One label.'
    return text_draft(rng, question, (label,), [other for other in labels if other != label])


def _policy(rng: Random) -> Draft:
    amount, days = rng.randint(5, 60) * 10, rng.randint(1, 60)
    member, opened_box, broken = rng.random() < 0.5, rng.random() < 0.5, rng.random() < 0.3
    limit, window = rng.choice((200, 300, 400)), rng.choice((14, 30))
    rules: list[tuple[str, Callable[[], bool]]] = [
        ("replace", lambda: broken and days <= window * 2),
        ("reject", lambda: days > window and not member),
        ("escalate", lambda: amount > limit),
        ("credit", lambda: opened_box),
    ]
    label = next((name for name, holds in rules if holds()), "refund")
    text = (
        f"A {'member' if member else 'customer without membership'} returns a {rng.choice(_ITEMS)} worth {amount} "
        f"euros {days} days after buying it. The box is {'opened' if opened_box else 'sealed'} and the article "
        f"{'is defective' if broken else 'works'}."
    )
    question = (
        f"Apply the first rule that fits. 1. Defective and bought at most {window * 2} days ago: replace. 2. Bought "
        f"more than {window} days ago by someone who is not a member: reject. 3. Worth more than {limit} euros: "
        f"escalate. 4. Box opened: credit. 5. Anything else: refund. Case: {text} Which label applies?"
    )
    labels = [name for name, _ in rules] + ["refund"]
    return text_draft(rng, question, (label,), [other for other in labels if other != label])


def classification(rng: Random, difficulty: int) -> Draft:
    """Sentiment, routing of messages, and a policy with ranked rules."""
    return {1: _sentiment, 2: _ticket, 3: _policy}[difficulty](rng)
