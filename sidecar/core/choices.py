"""Which questions yes and no are answers to, and asking them so. Pure.

Under a constraint a model always says one of the two words, also where neither answers what it was
asked. Such a word would be a guess of ours, not a verdict of the model's.
"""

import re
from dataclasses import replace
from typing import Final

from sidecar.model import AnswerRules, AnswerShape, Prompt

_TRUTHS: Final = frozenset({"yes", "no", "true", "false"})
# Of prompts that ask for a yes or no, or for a truth value.
_POLAR: Final = re.compile(
    r"\b(?:yes|true|whether|verdict|confirm\w{0,5}|ja|oui|sí)\b"
    r"|(?:^|[.!?:;,\n])\W{0,8}(?:is|are|was|were|do|does|did|has|have|can|could|will|should)\s"
    r"[^.?!\n]{1,300}\?"
    r"|はい|か否か|かどうか|(?:です|ます|ました|でした|ません)か|是否|吗|是或否",
    re.IGNORECASE,
)
# Of prompts, or sentences of them, that ask for anything else.
_OPEN: Final = re.compile(
    r"(?:^|[.!?:;\n])\W{0,8}(?:(?:please|now|then|briefly|first)\s){0,2}(?:what|which|who|whom|whose|where"
    r"|when|why|how|describe|summari[sz]e|explain|list|caption|report|name|count|identify|classify"
    r"|was (?:ist|sind|passiert|geschieht|macht|machen|siehst|sehen)|wer|wo|wann|warum|wie"
    r"|welche[rs]?|beschreib\w{0,6}|qu'est-ce|quel(?:le)?s?|qui|où|quand|pourquoi|comment"
    r"|décri\w{0,5}|qué|quién|dónde|cuándo|cómo|cuál|describ[ae]\w{0,3})\b"
    r"|説明して|要約して|教えて|述べて|列挙して|何が|誰が|どこ|なぜ|描述|说明|总结|列出|什么|为什么",
    re.IGNORECASE,
)
_OPTIONS: Final = re.compile(r"(?:^|\W)A[).:]\s.{1,500}?\WB[).:]\s", re.DOTALL)


def takes_choice(rules: AnswerRules) -> bool:
    """Tell whether an alert type's answers may be bare words.

    Not those that a custom parser reads, that are lists or descriptions, or whose mapping has
    labels of its own, such as "safe".
    """
    is_mapped = any(word not in _TRUTHS for word in rules.verdict_mapping)
    return rules.shape is AnswerShape.VERDICT and not rules.parser and not is_mapped


def asks_yes_or_no(prompt: Prompt) -> bool:
    """Tell whether yes or no may answer a prompt; false only where it plainly asks for more."""
    text = f"{prompt.system}\n{prompt.user}"
    if _POLAR.search(text):
        return True
    return _OPEN.search(text) is None and _OPTIONS.search(text) is None


def as_choice(prompt: Prompt) -> Prompt:
    """Ask for one of two words: without reasoning and JSON, which they would leave no room for.

    What yes and no mean by the mapping stays, which may be the opposite.
    """
    params = {k: v for k, v in prompt.vlm_params.items() if k != "enable_reasoning"}
    rules = AnswerRules(abstain=prompt.rules.abstain, verdict_mapping=prompt.rules.verdict_mapping)
    return replace(prompt, vlm_params=params, rules=rules)
