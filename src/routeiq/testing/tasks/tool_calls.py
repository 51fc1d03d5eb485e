"""The family of tool calls: one call, with arguments that the prompt holds or implies.

Owns the tools' schemas (OpenAI's form) and the templates. A prompt names every argument that a call may carry, and asks
for no default, so that there is one right call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from routeiq.testing.tasks.checks import tool_call_check
from routeiq.testing.tasks.draft import NAMES, Draft
from routeiq.testing.tasks.task import ToolCall

_CITIES = ("Lisbon", "Oslo", "Nairobi", "Hanoi", "Quito", "Turin", "Leeds", "Perth", "Riga", "Osaka", "Porto", "Ghent")
_CURRENCIES = {"EUR": "euros", "USD": "US dollars", "JPY": "yen", "GBP": "pounds sterling", "CHF": "Swiss francs"}


def _tool(name: str, description: str, required: tuple[str, ...] = (), **parameters: Any) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": parameters,
        "required": list(required or parameters),
        "additionalProperties": False,
    }
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


def _string(description: str, *options: str) -> dict[str, Any]:
    value: dict[str, Any] = {"type": "string", "description": description}
    return value | {"enum": list(options)} if options else value


def _number(description: str, kind: str = "number") -> dict[str, Any]:
    return {"type": kind, "description": description}


_DATE = _string("Date as YYYY-MM-DD")
_TIME = _string("Time of day as HH:MM, 24 hours")
_CURRENCY = _string("ISO 4217 code", *_CURRENCIES)
TOOLS: Mapping[str, Mapping[str, Any]] = {
    tool["function"]["name"]: tool
    for tool in (
        _tool("get_weather", "Current weather of a city.", city=_string("City name"),
              unit=_string("Unit of temperature", "celsius", "fahrenheit")),
        _tool("get_forecast", "Weather forecast of a city for coming days.", city=_string("City name"),
              days=_number("How many days ahead, 1 to 10", "integer")),
        _tool("set_timer", "Start a countdown.", minutes=_number("Length in minutes", "integer"),
              label=_string("What the timer is for, one word")),
        _tool("set_alarm", "Ring at a time of day.", time=_TIME),
        _tool("convert_currency", "Convert an amount of money.", amount=_number("Amount to convert"),
              source=_CURRENCY, target=_CURRENCY),
        _tool("add_event", "Put an appointment into the calendar.", title=_string("Title"), date=_DATE, start=_TIME,
              minutes=_number("Length in minutes", "integer")),
        _tool("move_event", "Move an appointment of the calendar.", title=_string("Title of the appointment"),
              date=_DATE, start=_TIME),
        _tool("search_trains", "Find train connections.", origin=_string("City of departure"),
              destination=_string("City of arrival"), date=_DATE,
              passengers=_number("Number of travellers", "integer")),
        _tool("search_flights", "Find flights.", origin=_string("City of departure"),
              destination=_string("City of arrival"), date=_DATE,
              passengers=_number("Number of travellers", "integer")),
        _tool("order_items", "Order articles from stock.", recipient=_string("First name of the recipient"),
              items={"type": "array", "description": "Articles, in the order asked for", "items": {
                  "type": "object", "additionalProperties": False, "required": ["name", "quantity"],
                  "properties": {"name": _string("Article, singular"), "quantity": _number("Pieces", "integer")}}},
              express={"type": "boolean", "description": "Whether to send by express"}),
    )
}  # fmt: skip
"""Every tool by name."""


def _weather(rng: Random) -> tuple[str, ToolCall]:
    city, unit = rng.choice(_CITIES), rng.choice(("celsius", "fahrenheit"))
    prompt = rng.choice((
        f"What is the weather like in {city} right now, in degrees {unit.title()}?",
        f"I am about to go out in {city}. How warm is it ({unit.title()})?",
        f"Check current conditions for {city}; use {unit}.",
    ))  # fmt: skip
    return prompt, ToolCall("get_weather", {"city": city, "unit": unit})


def _timer(rng: Random) -> tuple[str, ToolCall]:
    label, minutes = rng.choice(("pasta", "tea", "laundry", "bread", "yoga")), rng.randint(3, 55)
    prompt = rng.choice((
        f"Start a {minutes}-minute timer for the {label}, label it '{label}'.",
        f"Count down {minutes} minutes and call it '{label}'.",
    ))  # fmt: skip
    return prompt, ToolCall("set_timer", {"minutes": minutes, "label": label})


def _currency(rng: Random) -> tuple[str, ToolCall]:
    source, target = rng.sample(list(_CURRENCIES), 2)
    amount = 25 * rng.randint(2, 80)
    prompt = rng.choice((
        f"How much is {amount} {_CURRENCIES[source]} in {_CURRENCIES[target]}?",
        f"I have {amount} {_CURRENCIES[source]} left over and want {_CURRENCIES[target]}. What do I get?",
    ))  # fmt: skip
    return prompt, ToolCall("convert_currency", {"amount": amount, "source": source, "target": target})


def _forecast(rng: Random) -> tuple[str, ToolCall]:
    city, days = rng.choice(_CITIES), rng.randint(2, 10)
    prompt = rng.choice((
        f"Will I need an umbrella in {city}? Look {days} days ahead.",
        f"We camp near {city}; show me the outlook for the next {days} days.",
    ))  # fmt: skip
    return prompt, ToolCall("get_forecast", {"city": city, "days": days})


def _alarm(rng: Random) -> tuple[str, ToolCall]:
    hour, minute = rng.randint(1, 11), rng.choice((5, 10, 20, 40, 50))
    evening = rng.random() < 0.5
    prompt = rng.choice((
        f"Wake me at {hour}:{minute:02d} {'pm' if evening else 'am'}.",
        f"Ring at {minute} past {hour} in the {'evening' if evening else 'morning'}, please.",
    ))  # fmt: skip
    return prompt, ToolCall("set_alarm", {"time": f"{hour + 12 * evening:02d}:{minute:02d}"})


_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October")


def _day(rng: Random) -> tuple[str, str]:
    month, day = rng.randrange(len(_MONTHS)), rng.randint(1, 28)
    return f"{day} {_MONTHS[month]} 2026", f"2026-{month + 1:02d}-{day:02d}"


def _travel(rng: Random) -> tuple[str, ToolCall]:
    origin, destination = rng.sample(_CITIES, 2)
    written, day = _day(rng)
    kind, verb = rng.choice((("search_trains", "go by train"), ("search_flights", "fly")))
    others = rng.randint(1, 4)
    prompt = (
        f"{rng.choice(NAMES)} and {others} friend{'s' if others > 1 else ''} want to {verb} together to {destination} "
        f"on {written}. They live in {origin}. What connections are there?"
    )
    arguments = {"origin": origin, "destination": destination, "date": day, "passengers": others + 1}
    return prompt, ToolCall(kind, arguments)


def _event(rng: Random) -> tuple[str, ToolCall]:
    title = rng.choice(("budget review", "dentist", "choir practice", "site visit", "parents evening"))
    written, day = _day(rng)
    hour, half = rng.randint(1, 6), rng.randint(2, 5)
    prompt = (
        f"Block {half / 2:g} hour{'s' if half > 2 else ''} for '{title}' on {written}, from {hour} in the afternoon."
    )
    arguments = {"title": title, "date": day, "start": f"{hour + 12:02d}:00", "minutes": 30 * half}
    return prompt, ToolCall("add_event", arguments)


def _items(rng: Random) -> tuple[str, ToolCall]:
    first, second, third = rng.sample(("stapler", "monitor", "keyboard", "whiteboard", "headset", "webcam"), 3)
    a, b = rng.randint(2, 9), rng.randint(2, 9)
    express, name = rng.random() < 0.5, rng.choice(NAMES)
    prompt = f"Order {a} {first}s and {b} {second}s for {name} - no {third}s after all. " + (
        "Send it by express." if express else "Normal shipping will do."
    )
    items = [{"name": first, "quantity": a}, {"name": second, "quantity": b}]
    return prompt, ToolCall("order_items", {"recipient": name, "items": items, "express": express})


_LEVELS: Mapping[int, tuple[tuple[Callable[[Random], tuple[str, ToolCall]], ...], int]] = {
    1: ((_weather, _timer), 1),
    2: ((_currency, _forecast, _alarm), 3),
    3: ((_travel, _event, _items), 6),
}
_CONFUSED = {
    "get_weather": "get_forecast", "get_forecast": "get_weather", "set_timer": "set_alarm", "set_alarm": "set_timer",
    "convert_currency": "order_items", "add_event": "move_event", "search_trains": "search_flights",
    "search_flights": "search_trains", "order_items": "add_event",
}  # fmt: skip


def _slip(value: Any) -> Any:
    """A value that a careless reader could put in the place of this one."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, list):
        return value[:1]
    return f"{(int(value[:2]) + 12) % 24:02d}{value[2:]}" if value[2:3] == ":" else f"the {value}"


def _mistakes(call: ToolCall) -> tuple[str | ToolCall, ...]:
    last = list(call.arguments)[-1]
    slipped = ToolCall(call.name, {**call.arguments, last: _slip(call.arguments[last])})
    missing = ToolCall(call.name, {key: value for key, value in call.arguments.items() if key != last})
    confused = ToolCall(_CONFUSED[call.name], dict(call.arguments))
    return slipped, missing, confused, "I am sorry, I cannot do that with the tools I have."


def tool_calls(rng: Random, difficulty: int) -> Draft:
    """The only tool; one of three; one of six with values to work out."""
    templates, offered = _LEVELS[difficulty]
    prompt, call = rng.choice(templates)(rng)
    names = [call.name, _CONFUSED[call.name], *rng.sample(list(TOOLS), len(TOOLS))]
    names = list(dict.fromkeys(names))[:offered]
    rng.shuffle(names)
    tools = tuple(TOOLS[name] for name in names)
    return Draft(prompt, call, _mistakes(call), tool_call_check(call), tools)
