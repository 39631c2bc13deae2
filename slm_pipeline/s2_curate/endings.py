"""Answers that say no, and answers that stop in the middle, whatever their finish_reason says."""

import json
import re

# the whole of a short answer that declines; "I'm sorry, but" before a reasoned answer is none
SORRY = (
    r"(i['’]?m (very |so )?sorry|i am sorry|sorry|(i |my )?apologi[sz]es?|unfortunately|es tut mir leid|tut mir leid|leider|désolée?|"
    r"je suis désolée?|(je )?regrette|lo siento|lo lamento|mi dispiace|sinto muito|desculpe|het spijt me|sorry)?"
)
DECLINES = (
    r"(as an ai( language model| assistant)?,? )?(i|we)( can['’]?t| cannot| can not| won['’]t| will not| am unable to| am not able to|"
    r"['’]m unable to|['’]m not able to|['’]m not allowed to| must decline to) ?(be able to )?"
    r"(assist|help|fulfil+|comply|continue|answer|provide (that|this)|discuss|do (that|this)|engage|support)",
    r"(als ki[ -]\w+ )?(dabei )?(ich kann|kann ich|darf ich)( ihnen| dir)?( leider)?"
    r"( dabei| damit| hierbei| bei dieser anfrage| diese anfrage)?( leider)? nicht "
    r"(weiter)?(helfen|helfe|beantworten|behilflich|unterstützen|erfüllen|dienen)",
    r"(mais )?je ne (peux|puis) (pas|malheureusement pas) (vous |t['’])?(aider|assister|répondre|satisfaire|faire)",
    r"(pero )?no (puedo|podemos) (ayudar|asistir|cumplir|responder|continuar|proporcionar)",
    r"(ma )?non posso (aiutar|assister|risponder|soddisfar|continuar)",
    r"(mas )?não posso (ajudar|auxiliar|responder|atender|continuar)",
    r"(maar )?(ik kan|kan ik) (u|je|jou)? ?(hier|daar)?(mee|bij)? ?niet (mee |bij )?(helpen|assisteren)",
)
REFUSAL = re.compile(
    rf"\s*{SORRY}[,.!]?\s*((but|aber|mais|pero|ma|mas|maar) )?({'|'.join(DECLINES)})\w*\b"
    r"((?!\b(but|however|instead|aber|jedoch|mais|pero)\b)[^.!]){0,80}[.!]?\s*"
    r"((is there|if (you|there)|please|feel free|let me know|how (else )?can i|gibt es|wenn sie|n['’]hésitez|si (tiene|vous))"
    r"[^\n]{0,120})?\s*"
    # these write no blanks
    r"|\s*(很?抱歉|对不起|對不起|不好意思)?[,，。]?\s*(但)?(我|作为[^。]{0,12},?我)(无法|不能|無法)(协助|帮助|提供|回答|满足|協助|幫助|回應|继续)[^。]{0,40}[。.]?\s*"
    r"|\s*(申し訳(ありません|ございません)|すみません)[がけど]*[、,。]?[^。]{0,40}"
    r"(お手伝い|お答え|対応|支援)(することは|は)?(できません|できかねます|いたしかねます)[。.]?\s*"
    r"|\s*(죄송합니다|죄송하지만)[.,]?\s*[^.]{0,40}(도와|도움|답변|제공)[^.]{0,20}(수 없습니다|없습니다)[.]?\s*"
    r"|\s*(извините|к сожалению|прошу прощения|простите)?,?\s*(но )?я не (могу|в состоянии) (вам )?"
    r"(помочь|ответить|выполнить|предоставить)[^.!]{0,80}[.!]?\s*",
    re.IGNORECASE,
)
LONGEST_REFUSAL = 400
FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})([^`\n]*)$", re.MULTILINE)


def is_refusal(text: str) -> bool:
    """Whether the text does nothing but decline, in one of ten languages."""
    return len(text) <= LONGEST_REFUSAL and REFUSAL.fullmatch(text) is not None


def is_cut(text: str) -> bool:
    """Whether the text ends inside JSON or inside a code fence that it opened."""
    return _json_cut(text) or _fence_cut(text)


def _json_cut(text: str) -> bool:
    text = text.strip()
    if text[:1] not in ("{", "["):
        return False
    try:
        json.loads(text, strict=False)
    except json.JSONDecodeError as error:
        return error.pos >= len(text) or error.msg.startswith("Unterminated string")
    except RecursionError:
        return False
    return False


def _fence_cut(text: str) -> bool:
    fences = list(FENCE.finditer(text))
    if len(fences) % 2 == 0 or not text[fences[-1].end() :].strip():
        return False
    opened: str | None = None
    for fence in fences:
        marks, info = fence.group(1), fence.group(2).strip()
        if opened is None:
            opened = marks
        elif marks[0] == opened[0] and len(marks) >= len(opened) and not info:
            opened = None
    # a prompt may have opened the first one: then what follows the last is prose
    return opened is not None and bool(fences[0].group(2).strip())
