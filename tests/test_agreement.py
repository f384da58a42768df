"""Readers' counts against folders of results: who is compared with whom, and what is left out and named."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.made_predictions import made_table
from tests.made_result_folder import write_results
from wsiamf.agreement import agreement_table, compare, read_counts, write_plot
from wsiamf.cli.main import run
from wsiamf.errors import AgreementError, ConfigError, ExportError

OWN = {"s1": {"A": (10, 2), "B": (4, 0)}, "s2": {"A": (20, 5)}, "s3": {"A": (7, 1)}, "s4": {"A": (0, 0)}}
"""Slide -> region -> figures and atypical ones that wsiamf counts."""

_ANN = (("s1", "A", 12), ("s1", "B", 5), ("s2", "A", 21), ("s3", "A", 10), ("s4", "A", 1))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    for slide_id, regions in OWN.items():
        folder = write_results(tmp_path / "out" / slide_id, made_table(6), slide=Path(f"{slide_id}.svs"))
        path = folder / "summary.json"
        summary = json.loads(path.read_text())
        summary |= {"n_ok": 50, "n_amf": 9}
        summary["regions"] = [{"name": name, "n": n, "n_amf": n_amf} for name, (n, n_amf) in regions.items()]
        path.write_text(json.dumps(summary))
    return tmp_path / "out"


def counts_file(folder: Path, *rows: str) -> Path:
    path = folder / "counts.csv"
    path.write_text("\n".join(["case_id,reader,region,mc,amc", *rows]) + "\n", encoding="utf-8")
    return path


def comparison(found: dict[str, Any], measure: str, reader: str) -> dict[str, Any]:
    one: dict[str, Any]
    (one,) = [c for c in found["comparisons"] if (c["measure"], c["reader"]) == (measure, reader)]
    return one


class TestCompare:
    def test_differences_are_ours_less_the_readers(self, out: Path, tmp_path: Path) -> None:
        rows = ("s1,ann,A,12,3", "s2,ann,A,21,5", "s3,ann,A,10,1", "s4.svs,ann,A,0,0")
        found = compare(out, counts_file(tmp_path, *rows))
        mc = comparison(found, "mc", "ann")
        assert mc["n_regions"] == 4
        assert mc["bias"] == pytest.approx((-2 - 1 - 3 + 0) / 4)
        assert (mc["mean_reader"], mc["mean_wsiamf"]) == (10.75, 9.25)
        assert 0.9 < mc["icc_2_1"] < 1
        assert mc["kappa"] is None
        assert mc["kappa_status"] == "no bands: --bands"
        assert comparison(found, "amc", "ann")["bias"] == pytest.approx(-0.25)
        assert [c["reader"] for c in found["comparisons"]] == ["ann", "ann"]  # one reader has no mean of readers

    def test_the_mean_of_readers_is_one_pair_a_region(self, out: Path, tmp_path: Path) -> None:
        rows = (
            "s1,ann,A,12,",
            "s2,ann,A,21,",
            "s3,ann,A,10,",
            "s1,bob,A,8,",
            "s2,bob,A,19,",
            "s3,bob,A,6,",
            "s4,bob,A,2,",
        )
        found = compare(out, counts_file(tmp_path, *rows))
        pooled = comparison(found, "mc", "mean of readers")
        assert pooled["n_regions"] == 4
        assert pooled["bias"] == pytest.approx((10 - 10 + 20 - 20 + 7 - 8 + 0 - 2) / 4)
        assert (pooled["icc_n_regions"], pooled["icc_n_raters"]) == (3, 3)
        assert {c["measure"] for c in found["comparisons"]} == {"mc"}  # nobody counted atypical ones

    def test_kappa_over_the_bands_given(self, out: Path, tmp_path: Path) -> None:
        rows = ("s1,ann,A,12,", "s1,ann,B,8,", "s2,ann,A,14,", "s3,ann,A,7,", "s4,ann,A,0,")
        one = comparison(compare(out, counts_file(tmp_path, *rows), bands=(0, 7, 13)), "mc", "ann")
        # reader: 1 1 2 1 0; wsiamf: 1 0 2 1 0
        assert one["bands_reader_by_wsiamf"] == [[1, 0, 0], [1, 2, 0], [0, 0, 1]]
        assert one["kappa_weights"] == "quadratic"
        # quadratic weights 1, 0.75, 0: observed 0.95; by chance 0.75 from the margins (1, 3, 1) and (2, 2, 1)
        assert one["kappa"] == pytest.approx((0.95 - 0.75) / (1 - 0.75))
        assert one["kappa_interval"]["low"] < one["kappa"]

    def test_the_whole_slide(self, out: Path, tmp_path: Path) -> None:
        rows = ("s1,ann,,48,8", "s2,ann,,51,9", "s3,ann,,47,10")
        assert comparison(compare(out, counts_file(tmp_path, *rows)), "mc", "ann")["mean_wsiamf"] == 50

    def test_cases_of_a_cohort(self, out: Path, tmp_path: Path) -> None:
        (out / "cohort.csv").write_text("slide_id,case_id\ns1,dog 1\ns2,dog 1\ns3,dog 2\ns4,\n")
        found = compare(out, counts_file(tmp_path, "dog 2,ann,A,7,1", "dog 1,ann,B,4,"))
        assert {(pair["slide_id"], pair["mc_wsiamf"]) for pair in found["pairs"]} == {("s3", 7), ("s1", 4)}
        with pytest.raises(AgreementError, match=r"case dog 1: a region 'A' is on several slides \(s1, s2\)"):
            compare(out, counts_file(tmp_path, "dog 1,ann,A,7,1"))

    def test_a_case_called_as_one_of_its_slides(self, out: Path, tmp_path: Path) -> None:
        (out / "cohort.csv").write_text("slide_id,case_id,status\ns1,s1,done\ns2,s1,few\ns3,s3,failed\n")
        found = compare(out, counts_file(tmp_path, "s1,ann,A,9,1", "s3,ann,A,7,1"))
        assert [(pair["slide_id"], pair["mc_wsiamf"]) for pair in found["pairs"]] == [("s1", 10)]
        assert "Slides whose last try failed, left out: s3." in found["notes"]  # what stands is of another input

    def test_what_is_left_out_is_named(self, out: Path, tmp_path: Path) -> None:
        rows = ("s1,ann,A,12,3", "s9,ann,A,1,0", "s2,ann,C,4,1", "s2,ann,A,3,1", "s3,ann,A,7,0")
        notes = compare(out, counts_file(tmp_path, *rows), bands=(5, 13))["notes"]
        assert "Readers' cases that the results do not hold: s9." in notes
        assert "Readers' regions that the results do not hold (screen or cohort with --regions): s2: C." in notes
        assert "Regions that no reader counted: s1: B, s4: A." in notes
        assert "ann: 1 regions with a count below the first band are left out of kappa." in notes
        assert any(note.startswith("Fewer than 10 regions") and "ann (mc, 3)" in note for note in notes)

    def test_a_slide_that_nobody_counted_is_named(self, out: Path, tmp_path: Path) -> None:
        path = out / "s4" / "summary.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "regions": []}))
        notes = compare(out, counts_file(tmp_path, "s1,ann,A,12,3", "s2,ann,,40,8"))["notes"]
        assert "Slides that no reader counted: s4." in notes
        assert "Regions that no reader counted: s1: B, s2: A, s3: A." in notes

    def test_why_an_interval_is_missing(self, out: Path, tmp_path: Path) -> None:
        rows = ("s1,ann,A,12,", "s2,ann,A,22,", "s3,ann,A,9,", "s4,ann,A,2,")  # always two more
        one = comparison(compare(out, counts_file(tmp_path, *rows)), "mc", "ann")
        assert one["icc_2_1_interval_status"] == "not estimable: no error variance: the raters differ by a constant"

    def test_the_icc_of_fewer_regions_says_so(self, out: Path, tmp_path: Path) -> None:
        ann = [f"{slide},ann,{region},{n}," for slide, region, n in _ANN]
        found = compare(out, counts_file(tmp_path, *ann, "s1,bob,A,9,", "s2,bob,A,18,", "s3,bob,A,6,"))
        lines = {tuple(line.split()[:2]): line for line in agreement_table(found).splitlines()}
        assert lines["mc", "mean"].endswith(", n 3")
        assert ", n " not in lines["mc", "ann"]

    def test_regions_of_one_slide_are_not_independent(self, out: Path, tmp_path: Path) -> None:
        rows = ("s1,ann,A,12,3", "s1,ann,B,4,1", "s2,ann,A,3,1")
        assert any("3 regions lie on 2 slides" in note for note in compare(out, counts_file(tmp_path, *rows))["notes"])

    def test_a_whole_slide_beside_its_own_regions_is_said(self, out: Path, tmp_path: Path) -> None:
        rows = ("s1,ann,A,12,3", "s1,ann,,50,9", "s2,ann,,3,1", "s3,ann,A,3,1")
        notes = compare(out, counts_file(tmp_path, *rows))["notes"]
        (said,) = [note for note in notes if note.startswith("Counted whole and in regions")]
        assert said.endswith("from two files: s1.")

    def test_too_few_are_null_with_a_reason(self, out: Path, tmp_path: Path) -> None:
        one = comparison(compare(out, counts_file(tmp_path, "s1,ann,A,12,3")), "mc", "ann")
        assert one["bias"] is one["icc_2_1"] is None
        assert one["bias_status"] == "not estimable: fewer than 3 regions"

    def test_nothing_meets(self, out: Path, tmp_path: Path) -> None:
        with pytest.raises(AgreementError, match="no count meets a region"):
            compare(out, counts_file(tmp_path, "s9,ann,A,12,3"))
        with pytest.raises(ExportError, match="no such folder of results"):
            compare(tmp_path / "gone", counts_file(tmp_path, "s9,ann,A,12,3"))

    def test_one_slide_under_two_names(self, out: Path, tmp_path: Path) -> None:
        with pytest.raises(AgreementError, match=r"rows 1 and 2: ann counted A of s1 twice, under two names"):
            compare(out, counts_file(tmp_path, "s1,ann,A,12,3", "s1.svs,ann,A,12,3"))

    @pytest.mark.parametrize("bands", [(5,), (0, 7, 7), (-1, 3), (7, 0)])
    def test_bands_that_are_none(self, out: Path, tmp_path: Path, bands: tuple[int, ...]) -> None:
        with pytest.raises(ConfigError, match="--bands"):
            compare(out, counts_file(tmp_path, "s1,ann,A,12,3"), bands=bands)


class TestCounts:
    @pytest.mark.parametrize(
        ("rows", "words"),
        [
            (["s1,ann,A,12.5,3"], r"row 1: mc is '12.5'; expected a whole number"),
            (["s1,ann,A,5,x"], r"row 1: amc is 'x'"),
            (["s1,ann,A,-1,"], r"row 1: mc is '-1'"),
            (["s1,ann,A,99999999999999999999,"], r"row 1: mc is"),
            (["s1,ann,A,²,"], r"row 1: mc is '²'"),
            (["s1,ann,A,,1"], r"row 1: mc is ''"),
            (["s1,ann,A,3,4"], r"row 1: 4 atypical of 3"),
            (["s1,,A,3,1"], r"row 1: reader is empty"),
            (["s1,ann,A,3,1", "s1,ann,A,4,1"], r"rows 1 and 2: ann counted A of s1 twice"),
            ([], r"holds no counts"),
        ],
    )
    def test_malformed(self, tmp_path: Path, rows: list[str], words: str) -> None:
        with pytest.raises(AgreementError, match=words):
            read_counts(counts_file(tmp_path, *rows))

    def test_no_table(self, tmp_path: Path) -> None:
        with pytest.raises(AgreementError, match="no such file of counts"):
            read_counts(tmp_path / "gone.csv")
        with pytest.raises(AgreementError, match="is not a file"):
            read_counts(tmp_path)
        (tmp_path / "a.csv").write_text("case,reader,mc\n")
        with pytest.raises(AgreementError, match="has no column case_id"):
            read_counts(tmp_path / "a.csv")
        (tmp_path / "b.csv").write_bytes(b"case_id,reader,mc\n\xff\xfe,a,1\n")
        with pytest.raises(AgreementError, match="UTF-8"):
            read_counts(tmp_path / "b.csv")

    @pytest.mark.parametrize("separator", [",", ";", "\t"])
    def test_other_columns_mean_nothing(self, tmp_path: Path, separator: str) -> None:
        rows = (["", "case_id", "reader", "mc"], ["0", "s1", "ann", "10"], ["5", "s2", "ann", "12"])  # of df.to_csv()
        (tmp_path / "a.csv").write_text("\n".join(map(separator.join, rows)), encoding="utf-8")
        assert [(one.case_id, one.mc, one.amc, one.region) for one in read_counts(tmp_path / "a.csv")] == [
            ("s1", 10, None, ""),
            ("s2", 12, None, ""),
        ]

    def test_more_cells_than_the_header(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("case_id,reader,region,mc\ns1,ann,A,3\ns2,ann,A,3,5\n", encoding="utf-8")
        with pytest.raises(AgreementError, match=r"a.csv: row 2 has 5 cells, the header 4"):
            read_counts(tmp_path / "a.csv")

    def test_no_file_that_can_be_read(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo.csv")
        with pytest.raises(AgreementError, match="is not a file"):
            read_counts(tmp_path / "fifo.csv")
        (tmp_path / "empty.csv").touch()
        with pytest.raises(AgreementError, match="is empty; expected a header"):
            read_counts(tmp_path / "empty.csv")

    def test_without_region_and_amc(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text("\ufeffMC, Reader ,case_id\n3,ann,s1\n", encoding="utf-8")
        (one,) = read_counts(tmp_path / "a.csv")
        assert (one.mc, one.amc, one.region, one.reader) == (3, None, "", "ann")


class TestOutputs:
    ROWS = ("s1,ann,A,12,3", "s2,ann,A,21,5", "s3,ann,A,10,1", "s1,bob,A,9,", "s2,bob,A,18,", "s3,bob,A,6,")

    def test_table(self, out: Path, tmp_path: Path) -> None:
        found = compare(out, counts_file(tmp_path, *self.ROWS), bands=(0, 7, 13))
        lines = agreement_table(found).splitlines()
        assert lines[0].split()[:3] == ["measure", "reader", "n"]
        assert "weighted kappa" in lines[0]
        assert [line.split("  ")[0] for line in lines[1:]] == ["mc", "mc", "mc", "amc"]
        assert "-2 (-4.48 to 0.484)" in lines[1]  # differences -2, -1, -3: t with 2 degrees of freedom
        assert lines[4].endswith(" -")  # no bands of atypical figures

    def test_plot_is_a_picture_and_the_same_again(self, out: Path, tmp_path: Path) -> None:
        found = compare(out, counts_file(tmp_path, *self.ROWS))
        write_plot(tmp_path / "a.png", found)
        write_plot(tmp_path / "b.png", found)
        content = (tmp_path / "a.png").read_bytes()
        assert content.startswith(b"\x89PNG")
        assert len(content) > 10_000
        assert (tmp_path / "b.png").read_bytes() == content

    def test_command(self, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        counts, plot = str(counts_file(tmp_path, *self.ROWS)), tmp_path / "plot.png"
        assert run(["agree", str(out), counts, "--bands", "0,7,13", "--plot", str(plot)]) == 0
        shown = capsys.readouterr()
        assert shown.out.startswith("measure")
        assert "wsiamf: Fewer than 10 regions" in shown.err
        assert plot.is_file()
        assert run(["agree", str(out), counts, "--plot", str(plot)]) == 1
        capsys.readouterr()
        assert run(["agree", str(out), counts, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["schema"] == "wsiamf.agreement/1"
        assert run(["agree", str(out), counts, "--bands", "few"]) == 2
