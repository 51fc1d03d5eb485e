"""Families of numbers: arithmetic, units, dates.

Owns their templates. Every template computes its answer from the numbers it prints, and its wrong answers from the
mistakes people make with them: a forgotten step, the wrong direction, an end counted twice.
"""

from __future__ import annotations

from datetime import date, timedelta
from random import Random

from routeiq.testing.tasks.draft import NAMES, Draft, number_draft, plain_number, text_draft

_GOODS = ("notebooks", "apples", "tickets", "light bulbs", "bus passes", "cinema seats", "postcards", "batteries")


def _stock(rng: Random) -> Draft:
    name, goods = rng.choice(NAMES), rng.choice(_GOODS)
    start, bought, sold = rng.randint(20, 90), rng.randint(10, 60), rng.randint(5, 19)
    question = rng.choice((
        f"{name} has {start} {goods}, buys {bought} more and gives {sold} away. How many {goods} are left?",
        f"A shelf holds {start} {goods}. {bought} are added, then {sold} are taken. How many {goods} does it hold now?",
        f"Start with {start}, add {bought}, take away {sold}: how many {goods} does {name} end up with?",
    ))  # fmt: skip
    return number_draft(rng, question, start + bought - sold, [start + bought + sold, start + bought])


def _boxes(rng: Random) -> Draft:
    name, goods = rng.choice(NAMES), rng.choice(_GOODS)
    boxes, each, broken = rng.randint(4, 12), rng.randint(6, 24), rng.randint(2, 9)
    question = rng.choice((
        f"{name} orders {boxes} boxes with {each} {goods} in each; {broken} arrive damaged. How many are usable?",
        f"There are {boxes} crates of {each} {goods}. {name} discards {broken} of them. How many {goods} remain?",
    ))  # fmt: skip
    return number_draft(rng, question, boxes * each - broken, [boxes * each, boxes * (each - broken)])


def _discount(rng: Random) -> Draft:
    name, goods = rng.choice(NAMES), rng.choice(_GOODS)
    price, count = 4 * rng.randint(5, 30), rng.randint(3, 15)
    percent, fee = rng.choice((5, 10, 15, 20, 25, 30, 40)), rng.randint(4, 18)
    total = price * count * (100 - percent) / 100 + fee
    question = rng.choice((
        f"{name} buys {count} {goods} at ${price} each, gets {percent}% off the goods and pays ${fee} for delivery. "
        "What is the total in dollars?",
        f"An invoice lists {count} {goods} at ${price} apiece. A {percent}% discount applies to the goods, then "
        f"${fee} shipping is added. How many dollars are due?",
    ))  # fmt: skip
    return number_draft(rng, question, total, [price * count + fee, (price * count + fee) * (100 - percent) / 100])


def _shares(rng: Random) -> Draft:
    first, second = rng.sample(NAMES, 2)
    a, b, unit = rng.randint(2, 7), rng.randint(8, 13), rng.randint(11, 60)
    total = (a + b) * unit
    question = rng.choice((
        f"{first} and {second} split {total} points in the ratio {a}:{b}. How many more points does {second} get?",
        f"A prize of {total} euros goes to {first} and {second} as {a} parts to {b} parts. By how many euros is "
        f"the share of {second} larger?",
    ))  # fmt: skip
    return number_draft(rng, question, (b - a) * unit, [b * unit, a * unit])


def _journey(rng: Random) -> Draft:
    name = rng.choice(NAMES)
    v1, v2 = 10 * rng.randint(4, 9), 10 * rng.randint(10, 14)
    h1, h2, rest = rng.randint(2, 4), rng.randint(2, 5), rng.randint(1, 2)
    km = v1 * h1 + v2 * h2
    question = (
        f"{name} drives {h1} hours at {v1} km/h, rests {rest} hour{'s' if rest > 1 else ''}, then drives {h2} hours at "
        f"{v2} km/h. The car uses 5 litres per 100 km and {name} pays 2 euros per litre. "
        + rng.choice(("What does the fuel cost in euros?", "How many euros does the fuel for the trip cost?"))
    )
    return number_draft(rng, question, km / 10, [km / 20, v2 * h2 / 10, (v1 + v2) * (h1 + h2) / 20])


def _growth(rng: Random) -> Draft:
    start, years = 1000 * rng.randint(2, 20), rng.randint(2, 3)
    rate, taken = rng.choice((10, 20, 50)), 10 * rng.randint(5, 30)
    value = float(start)
    for _ in range(years):
        value = value * (100 + rate) / 100 - taken
    question = rng.choice((
        f"A fund of ${start} grows by {rate}% each year; at the end of every year ${taken} is withdrawn after the "
        f"growth. How many dollars are in it after {years} years?",
        f"Each year an account first gains {rate}% and then loses ${taken}. It starts at ${start}. What is its balance "
        f"in dollars after {years} years?",
    ))  # fmt: skip
    simple = start * (100 + rate * years) / 100 - taken * years
    return number_draft(rng, question, value, [simple, value + taken, start * (1 + rate / 100) ** years])


def _tanks(rng: Random) -> Draft:
    fill, drain = rng.randint(12, 30), rng.randint(3, 11)
    minutes, start = rng.randint(15, 55), 10 * rng.randint(3, 30)
    extra = rng.randint(4, 12)
    volume = start + (fill - drain) * minutes - drain * extra
    question = (
        f"A tank holds {start} litres. A pump adds {fill} litres a minute for {minutes} minutes. A leak loses {drain} "
        f"litres a minute during that time and for {extra} minutes after the pump has stopped. "
        + rng.choice(("How many litres are in the tank then?", "What is the final volume in litres?"))
    )
    return number_draft(rng, question, volume, [volume + drain * extra, start + fill * minutes - drain * extra])


def arithmetic(rng: Random, difficulty: int) -> Draft:
    """Word problems of two, three, and four or more steps."""
    return rng.choice({1: (_stock, _boxes), 2: (_discount, _shares), 3: (_journey, _growth, _tanks)}[difficulty])(rng)


_LINEAR = (
    ("kilometres", "metres", 1000), ("metres", "centimetres", 100), ("hours", "minutes", 60), ("days", "hours", 24),
    ("kilograms", "grams", 1000), ("litres", "millilitres", 1000), ("weeks", "days", 7), ("feet", "inches", 12),
    ("pounds", "ounces", 16), ("minutes", "seconds", 60), ("yards", "feet", 3), ("gallons", "quarts", 4),
)  # fmt: skip


def _convert(rng: Random) -> Draft:
    big, small, factor = rng.choice(_LINEAR)
    amount = rng.choice((rng.randint(2, 48), rng.randint(2, 24) + 0.5))
    question = rng.choice((
        f"How many {small} are {plain_number(amount)} {big}?",
        f"Convert {plain_number(amount)} {big} to {small}.",
        f"Express {plain_number(amount)} {big} in {small}.",
        f"The manual says {plain_number(amount)} {big}, my form wants {small}. What do I enter?",
    ))  # fmt: skip
    return number_draft(rng, question, amount * factor, [amount / factor, amount * factor * 10, amount * factor / 10])


def _speed(rng: Random) -> Draft:
    mps = rng.randint(2, 60) / 2
    kmh = mps * 3.6
    if rng.random() < 0.5:
        subject = rng.choice(("A train runs", "A cyclist rides", "The wind blows", "A lift cable moves"))
        return number_draft(rng, f"{subject} at {plain_number(kmh)} km/h. What is that in metres per second?", mps,
                            [kmh * 3.6, kmh / 60, kmh * 1000 / 60])  # fmt: skip
    return number_draft(rng, f"A sensor reports {plain_number(mps)} m/s. Give it in kilometres per hour.", kmh,
                        [mps / 3.6, mps * 60 / 1000, mps * 60])  # fmt: skip


def _temperature(rng: Random) -> Draft:
    celsius = 5 * rng.randint(-8, 40)
    fahrenheit = celsius * 9 / 5 + 32
    if rng.random() < 0.5:
        return number_draft(rng, f"An oven is set to {celsius} degrees Celsius. How many degrees Fahrenheit is that?",
                            fahrenheit, [celsius * 9 / 5, (celsius + 32) * 9 / 5])  # fmt: skip
    return number_draft(rng, f"The label reads {plain_number(fahrenheit)} °F. What is that in °C?", celsius,
                        [fahrenheit * 5 / 9, fahrenheit - 32])  # fmt: skip


def _area(rng: Random) -> Draft:
    width, height = rng.randint(12, 95) * 10, rng.randint(12, 95) * 10
    price = rng.randint(3, 25)
    square_metres = width * height / 10_000
    question = rng.choice((
        f"A wall measures {width} cm by {height} cm and paint costs {price} euros per square metre. What does painting "
        "it cost in euros, to two decimals?",
        f"Carpet is sold at {price} euros per square metre. How many euros (two decimals) for a floor of {width} cm "
        f"by {height} cm?",
    ))  # fmt: skip
    mistakes = [width * height / 100 * price, round(square_metres, 2), round(2 * (width + height) / 100 * price, 2)]
    return number_draft(rng, question, round(square_metres * price, 2), mistakes)


def _flow(rng: Random) -> Draft:
    per_minute, hours, people = rng.randint(12, 90), rng.randint(2, 9), rng.choice((2, 3, 4, 5, 6))
    litres = per_minute * hours * 60 / 1000 / people
    question = (
        f"A spring gives {per_minute} millilitres a minute. Its water is collected for {hours} hours and shared "
        f"equally by {people} people. How many litres does each get, to three decimals?"
    )
    return number_draft(rng, question, round(litres, 3), [round(litres * people, 3), round(litres * 1000, 3)])


def _data(rng: Random) -> Draft:
    megabytes, mbit = 50 * rng.randint(4, 80), rng.choice((10, 20, 25, 40, 50, 80, 100))
    seconds = megabytes * 8 / mbit
    question = (
        f"A file of {megabytes} megabytes is copied over a line of {mbit} megabits per second, 8 bits to a byte. "
        + rng.choice(("How many seconds does it take?", "What is the transfer time in seconds?"))
    )
    return number_draft(rng, question, seconds, [megabytes / mbit, megabytes * mbit / 8, seconds / 60])


def units(rng: Random, difficulty: int) -> Draft:
    """Plain conversions, compound units, and conversions inside a problem."""
    return rng.choice({1: (_convert,), 2: (_speed, _temperature), 3: (_area, _flow, _data)}[difficulty])(rng)


_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _day(rng: Random) -> date:
    return date(2021, 1, 1) + timedelta(days=rng.randint(0, 2400))


def _written(rng: Random, day: date) -> str:
    return rng.choice((day.isoformat(), f"{day.day} {day:%B %Y}", f"{day:%B} {day.day}, {day.year}"))


def _date_draft(rng: Random, question: str, day: date, mistakes: list[date]) -> Draft:
    question += rng.choice((" Write it as YYYY-MM-DD.", " Use the form YYYY-MM-DD.", " (YYYY-MM-DD)"))
    return text_draft(rng, question, (day.isoformat(),), [m.isoformat() for m in mistakes])


def _add_days(rng: Random) -> Draft:
    start, days = _day(rng), rng.randint(3, 25)
    day = start + timedelta(days=days)
    question = rng.choice((
        f"What date is {days} days after {_written(rng, start)}?",
        f"A parcel sent on {_written(rng, start)} takes {days} days. On which date does it arrive?",
        f"My trial begins on {_written(rng, start)} and ends {days} days later. When does it end?",
    ))  # fmt: skip
    return _date_draft(rng, question, day, [day + timedelta(days=1), day - timedelta(days=1)])


def _weekday(rng: Random) -> Draft:
    day, later = _day(rng), rng.randint(8, 90)
    weekday = (day.weekday() + later) % 7
    question = rng.choice((
        f"{_written(rng, day)} is a {_WEEKDAYS[day.weekday()]}. Which weekday is it {later} days later?",
        f"If {_written(rng, day)} falls on a {_WEEKDAYS[day.weekday()]}, what day of the week is {later} days on?",
    ))  # fmt: skip
    return text_draft(rng, question, (_WEEKDAYS[weekday],), [_WEEKDAYS[weekday - 1], _WEEKDAYS[(weekday + 1) % 7]])


def _between(rng: Random) -> Draft:
    start = _day(rng)
    days = rng.randint(35, 400)
    end = start + timedelta(days=days)
    question = rng.choice((
        f"How many days are there from {_written(rng, start)} to {_written(rng, end)}, not counting the first day?",
        f"{rng.choice(NAMES)} signed on {_written(rng, start)} and left on {_written(rng, end)}. How many nights lie "
        "between the two dates?",
    ))  # fmt: skip
    return number_draft(rng, question, days, [days + 1, days - 1, days - 30])


def _nth_weekday(rng: Random) -> Draft:
    first, nth, weekday = _day(rng).replace(day=1), rng.randint(2, 4), rng.randint(0, 6)
    day = first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (nth - 1))
    word = {2: "second", 3: "third", 4: "fourth"}[nth]
    question = rng.choice((
        f"Our meeting is on the {word} {_WEEKDAYS[weekday]} of {first:%B %Y}. Which date is that?",
        f"Give the date of the {word} {_WEEKDAYS[weekday]} in {first:%B %Y}.",
    ))  # fmt: skip
    return _date_draft(rng, question, day, [day - timedelta(days=7), day + timedelta(days=1), day + timedelta(days=7)])


def _business_days(rng: Random) -> Draft:
    start, count = _day(rng), rng.randint(6, 24)
    day, left = start, count
    while left:
        day += timedelta(days=1)
        left -= day.weekday() < 5
    question = (
        f"An invoice is dated {_written(rng, start)}, a {_WEEKDAYS[start.weekday()]}. It is due {count} working days "
        "later (Monday to Friday, no holidays, the day of the invoice not counted). When is it due?"
    )
    return _date_draft(rng, question, day, [start + timedelta(days=count), day + timedelta(days=1)])


def dates(rng: Random, difficulty: int) -> Draft:
    """Days added, weekdays and spans, and calendar rules."""
    return rng.choice({1: (_add_days,), 2: (_weekday, _between), 3: (_nth_weekday, _business_days)}[difficulty])(rng)
