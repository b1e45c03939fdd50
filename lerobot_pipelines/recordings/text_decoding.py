"""The characters of a text file whose encoding nobody wrote down.

Unicode is known by its byte order mark, by its zeros or by being valid UTF-8. Anything else is one
of the old encodings that Windows tools write. General detectors go by statistics and take a label
of a few Chinese characters for Korean; here every reading has to look like text that people of that
script write, and one has to remain, alone or far ahead by the characters that everybody uses.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass


class UndecidableText(ValueError):
    """No reading is plausible, or several are. The message says which."""


@dataclass(frozen=True, slots=True)
class DecodedText:
    """``is_certain``: the bytes themselves prove the encoding."""

    text: str
    encoding: str
    is_certain: bool


def decode(data: bytes) -> DecodedText:
    """The text of a JSON file. Raises ``UndecidableText``."""
    encoding = json.detect_encoding(data)
    text = _read(data, encoding)
    if text is None and encoding.startswith(("utf-16", "utf-32")):
        raise UndecidableText(f"it begins like {encoding} and is damaged")
    if text is not None and not _may_be_two_bytes_each(text):
        return DecodedText(text, encoding, True)
    readings: dict[str, str] = {} if text is None else {encoding: text}
    for old, is_plausible in _OLD_ENCODINGS.items():
        if (reading := _read(data, old)) is not None and is_plausible(reading):
            readings[old] = reading
    if list(readings) == [encoding] and text is not None:
        return DecodedText(text, encoding, True)
    return _chosen(readings)


def _read(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError:
        return None


def _may_be_two_bytes_each(text: str) -> bool:
    """Whether UTF-8 proves little: pairs of bytes that are no words of an alphabet, as a single
    Chinese character in GBK can be."""
    foreign = _foreign(text)
    if not foreign or any(ord(character) > 0x7FF for character in foreign):
        return False
    return not any(is_plausible(text) for is_plausible in _ALPHABETS)


def _chosen(readings: dict[str, str]) -> DecodedText:
    if not readings:
        raise UndecidableText("it is neither UTF-8 nor in an encoding that gives readable text")
    scores = sorted(((_everyday(text), old) for old, text in readings.items()), reverse=True)
    best, encoding = scores[0]
    text = readings[encoding]
    others = [score for score, other in scores[1:] if readings[other] != text]
    is_proven = len(_foreign(text)) > 1 if encoding in _EAST_ASIAN else True
    if (others and (best < _FEW or max(others) > best / 2)) or not (is_proven or best):
        raise UndecidableText(f"it could be {' or '.join(sorted(readings))}")
    return DecodedText(text, encoding, False)


def _everyday(text: str) -> int:
    """How many of its characters beyond ASCII are among the most frequent of all texts."""
    return sum(character in _FREQUENT for character in text)


def _foreign(text: str) -> list[str]:
    """The characters that are not ASCII."""
    return [character for character in text if ord(character) > 127]


def _share(characters: list[str], belongs: Callable[[str], bool]) -> float:
    return sum(map(belongs, characters)) / len(characters)


def _is_punctuation(character: str) -> bool:
    """Marks, and the full-width digits and letters that go with East Asian text."""
    return 0x3000 <= ord(character) < 0x3040 or 0xFF01 <= ord(character) <= 0xFF5E


def _is_kana(character: str) -> bool:
    return 0x3040 <= ord(character) < 0x3100


def _is_hangul(character: str) -> bool:
    return 0xAC00 <= ord(character) < 0xD7A4


def _is_common(encoding: str, first: int, last: int) -> Callable[[str], bool]:
    """Whether a character is among those that its standard lists first, as the common ones."""

    def is_common(character: str) -> bool:
        try:
            return first <= int.from_bytes(character.encode(encoding), "big") <= last
        except UnicodeEncodeError:
            return False

    return is_common


_COMMON_SIMPLIFIED = _is_common("gb2312", 0xB0A1, 0xD7FE)
_COMMON_TRADITIONAL = _is_common("big5", 0xA440, 0xC67E)
_COMMON_JAPANESE = _is_common("shift_jis", 0x889F, 0x9872)
# Of the characters of a short label; the rest may be rare ones.
_MOST = 0.8


def _is_chinese(common: Callable[[str], bool]) -> Callable[[str], bool]:
    def is_plausible(text: str) -> bool:
        words = [one for one in _foreign(text) if not _is_punctuation(one)]
        if not words or any(_is_kana(one) or _is_hangul(one) for one in words):
            return False
        return _share(words, common) >= _MOST and not _has_spaced_words(text, common)

    return is_plausible


def _has_spaced_words(text: str, is_word: Callable[[str], bool]) -> bool:
    """Chinese has no spaces between words; Korean read as Chinese has."""
    around = zip(text, text[1:], text[2:], strict=False)
    return any(space == " " and is_word(a) and is_word(b) for a, space, b in around)


def _is_japanese(text: str) -> bool:
    words = [one for one in _foreign(text) if not _is_punctuation(one)]
    if not words or not any(map(_is_kana, words)):
        return False
    return _share(words, lambda one: _is_kana(one) or _COMMON_JAPANESE(one)) >= _MOST


def _is_korean(text: str) -> bool:
    # Labels of today hold no Chinese characters among the hangul.
    words = [one for one in _foreign(text) if not _is_punctuation(one)]
    return bool(words) and all(map(_is_hangul, words))


def _is_alphabetic(script: str, most: float) -> Callable[[str], bool]:
    """Letters of one script in words that are written small, with a capital first or in capitals;
    not all in capitals, and no more than ``most`` of all letters beyond ASCII."""

    def is_plausible(text: str) -> bool:
        foreign = [one for one in _foreign(text) if one not in _MARKS]
        if not foreign or not all(_is_letter_of(script, one) for one in foreign):
            return False
        words = [word for word in _WORD.findall(text) if not word.isascii()]
        mixed = script != "LATIN" and any(one.isascii() for word in words for one in word)
        odd = any(not (w.islower() or w[1:].islower() or w.isupper()) for w in words)
        letters = sum(character.isalpha() for character in text)
        few = len(foreign) <= most * letters
        return few and not mixed and not odd and not all(word.isupper() for word in words)

    return is_plausible


def _is_letter_of(script: str, character: str) -> bool:
    return character.isalpha() and unicodedata.name(character, "").startswith(script)


_WORD = re.compile(r"[^\W\d_]+")
_MARKS = "«»“”‘’–—…°§€\xa0№"
_is_latin, _is_cyrillic = _is_alphabetic("LATIN", 0.4), _is_alphabetic("CYRILLIC", 1.0)
_ALPHABETS = (_is_latin, _is_cyrillic, _is_alphabetic("GREEK", 1.0))

# The most frequent characters of Chinese (both ways of writing it) and Korean, and those of labels.
_FEW = 2
_FREQUENT = frozenset(
    "的一是不了在人有我他这中大来上个国到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可里后小么心多天而能好都"
    "然没日于起还发成事只作当想看文无开手十用主行方又如前所本见经头面公同三己老从动两长拿放取抓握把入进将杯瓶盒箱桌盘碗篮"
    "抽屉门按钮倒水推拉移零件拣包裹快递分右左置物红蓝绿黄白黑色第次个请收整理叠衣服打关插拧擦洗扫码检测货架搬运袋托"
    "焊接喷漆称重翻面料垛拆搭积木切菜瓜果水咖啡茶清理垃圾铺床单灯浇花药装配齿轮螺丝刀笔纸书本箱体臂双协作机器工具材"
    "车间线电源头尾端口孔板块圆方形条球环盖锅铲勺筷叉餐厨房卫生间客厅室内外床椅凳柜架层格空满轻慢快速度准备完成结束"
    "這來個國說們為時會著過學對裡後麼沒還發當開見經頭從動兩長進將盤籃抽屜門按鈕物紅藍綠黃請"
    "이는을를다에가고기하지의로은한사서자들도나어아대리그수일니라있시해인정보과들상것제전부주장넣어놓옮컵물병박스집잡열닫오른왼쪽"
)


_EAST_ASIAN = frozenset({"gb18030", "big5", "shift_jis", "euc_jp", "euc_kr"})
_OLD_ENCODINGS: dict[str, Callable[[str], bool]] = {
    "gb18030": _is_chinese(_COMMON_SIMPLIFIED),
    "big5": _is_chinese(_COMMON_TRADITIONAL),
    "shift_jis": _is_japanese,
    "euc_jp": _is_japanese,
    "euc_kr": _is_korean,
    # Every byte is a letter in these: a word of one language may be read in several of them.
    "cp1252": _is_latin,
    "cp1251": _is_cyrillic,
    "koi8_r": _is_cyrillic,
}
