"""Labels in the encodings that people's tools write."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lerobot_pipelines.recordings.text_decoding import UndecidableText, decode

LABELS = {
    "gbk": ["把杯子放进盒子", "拿起瓶子", "打开抽屉，放入毛巾", "整理桌面", "分拣快递包裹"],
    "big5": ["把杯子放進盒子", "打開冰箱門", "抓取蘋果"],
    "shift_jis": ["カップを箱に入れる", "ドアを開ける"],
    "euc_jp": ["カップを箱に入れる"],
    "euc_kr": ["컵을 상자에 넣기", "서랍을 닫다"],
    "cp1252": ["Tasse in die Schüssel räumen", "déplacer la caisse", "coloca la caña"],
    "cp1251": ["Положи чашку в коробку"],
    "koi8_r": ["Положи чашку в коробку"],
}


def _document(task: str) -> str:
    return json.dumps({"operator": "Ann", "task": task}, ensure_ascii=False)


@pytest.mark.parametrize(
    ("encoding", "label"), [(encoding, one) for encoding, many in LABELS.items() for one in many]
)
def test_old_encodings_are_told_by_what_they_make_of_the_text(encoding: str, label: str) -> None:
    decoded = decode(_document(label).encode(encoding))
    assert decoded.text == _document(label)
    assert not decoded.is_certain


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_unicode_is_never_guessed(encoding: str, label: str) -> None:
    assert decode(_document("把杯子放进盒子 " + label).encode(encoding)).is_certain
    assert decode(_document("把杯子 " + label).encode(encoding)).text == _document(
        "把杯子 " + label
    )


def test_chinese_that_happens_to_be_valid_utf8_is_not_taken_for_it() -> None:
    for label in ("抓", "取药"):
        _document(label).encode("gbk").decode("utf-8")
    with pytest.raises(UndecidableText, match="gb18030"):
        decode(_document("抓").encode("gbk"))
    assert decode(_document("取药").encode("gbk")).text == _document("取药")


@pytest.mark.parametrize("label", ["déjà", "Größe", "чашку", "שלום", "مرحبا", "ok"])
def test_words_of_alphabets_in_utf8_stay_utf8(label: str) -> None:
    assert decode(_document(label).encode()).text == _document(label)


@settings(max_examples=200)
@given(st.binary(max_size=60))
def test_any_bytes_are_decoded_as_they_can_be_or_refused(data: bytes) -> None:
    try:
        decoded = decode(data)
    except UndecidableText:
        return
    assert decoded.text == data.decode(decoded.encoding)


@settings(max_examples=200)
@given(st.text(st.sampled_from("把杯子放进盒拿起瓶开抽屉入毛巾整理桌面搬箱到货架上"), min_size=3))
def test_a_label_of_everyday_characters_is_read_right_or_not_at_all(label: str) -> None:
    try:
        decoded = decode(_document(label).encode("gbk"))
    except UndecidableText:
        return
    assert decoded.text == _document(label)
