"""What is asked and answered on the two APIs of compound models."""

from typing import Any

from routeiq.core.outcome import Usage
from routeiq.http.compound.forms import ChatForm, MessagesForm, original
from routeiq.routing.compound.steps import Question

PART = {"type": "text", "text": "What?"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:,"}}


def chat(*messages: Any, **more: Any) -> Question:
    """What a chat completion asks."""
    return ChatForm().question({"messages": list(messages), **more})


def test_a_question_is_plain_when_its_text_is_all_of_it() -> None:
    """Instructions and one turn of text are plain; tools, images and earlier turns are not."""
    user = {"role": "user", "content": "What?"}
    assert chat(user) == chat({"role": "user", "content": [PART]}) == Question("What?", True)
    assert chat({"role": "system", "content": "Be brief."}, user) == Question("Be brief.\n\nWhat?", True)
    assert MessagesForm().question({"system": [PART], "messages": [user]}) == Question("What?\n\nWhat?", True)
    assert not chat(user, tools=[{}]).plain
    assert not chat({"role": "user", "content": [PART, IMAGE]}).plain
    turns = chat(user, {"role": "assistant", "content": "That."}, user)
    assert turns == Question("user: What?\n\nassistant: That.\n\nuser: What?", False)


def test_odd_bodies_are_questions_too() -> None:
    """Whatever a client sends is read without an error; LiteLLM refuses what it must."""
    for messages in (None, [], ["text"], [{"role": "user"}], [{"role": "user", "content": 7}], [{"content": [None]}]):
        assert isinstance(ChatForm().question({"messages": messages}).text, str)


def test_notes_go_with_the_last_turn() -> None:
    """Text, parts or a tool's result at the end: the notes are added, and the client's own messages stay."""
    text = {"messages": [{"role": "user", "content": "What?"}]}
    assert original(text, "big", False, "N", False)["messages"] == [{"role": "user", "content": "What?\n\nN"}]
    parts = {"messages": [{"role": "user", "content": [PART, IMAGE]}]}
    assert original(parts, "big", False, "N", False)["messages"][0]["content"] == [
        PART,
        IMAGE,
        {"type": "text", "text": "N"},
    ]
    tool = {"messages": [{"role": "tool", "content": "7"}]}
    assert original(tool, "big", False, "N", False)["messages"][-1] == {"role": "user", "content": "N"}
    assert text["messages"][0]["content"] == "What?"


def test_prompts_of_ours_go_on_the_clients_account() -> None:
    """Tags, user and metadata of the request go with every call; its other parameters do not."""
    body = {"model": "careful", "user": "ada", "metadata": {"tags": ["eu"]}, "temperature": 0, "max_tokens": 9}
    put = ChatForm().put(body, "small", "Check")
    assert put == {
        "model": "small",
        "user": "ada",
        "metadata": {"tags": ["eu"]},
        "messages": [{"role": "user", "content": "Check"}],
    }
    assert MessagesForm().put(body, "small", "Check")["max_tokens"] == 9


def test_answers_are_read_and_rewritten() -> None:
    """Text, calls of tools and usage are read; another text takes the place of all that was said."""
    call = {"function": {"name": "f", "arguments": "{}"}}
    answer = {"model": "big", "choices": [{"message": {"content": None, "tool_calls": [call]}}]}
    assert ChatForm().text(answer) == "f({})"
    assert ChatForm().usage({"usage": {"prompt_tokens": 3, "completion_tokens": True}}) == Usage(3, 0)
    changed = ChatForm().rewritten(answer, "careful", "7", Usage(10, 2))
    assert changed["model"] == "careful"
    assert changed["choices"][0]["message"] == {"role": "assistant", "content": "7"}
    assert changed["usage"]["total_tokens"] == 12
    blocks = {"content": [{"type": "text", "text": "a"}, {"type": "tool_use", "name": "f", "input": {}}]}
    assert MessagesForm().text(blocks) == "a\nf({})"
    assert MessagesForm().text({"content": None}) == ChatForm().text({"choices": "x"}) == ""
