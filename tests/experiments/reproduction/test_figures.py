"""The pictures of the page."""

from reproduction import figures, page, variants


def test_all_variants_of_a_picture_can_be_told_apart():
    for part in ("figure 4", "rules", "carries over", "time limit", "conflict"):
        for task in variants.TASKS:
            shown = [variant.title for variant in page.shown(part) if variant.task == task]
            styles = figures.styles_of(shown)
            assert len({(tuple(style["color"]), style["linestyle"]) for style in styles}) == len(shown)
            for algorithm in ("espo", "pcrpo", "cup"):
                own = [
                    s["linestyle"] for s, name in zip(styles, shown, strict=True) if name.split(", ")[0] == algorithm
                ]
                assert len(set(own)) == len(own), (part, task)


def test_groups_of_different_algorithms_are_solid():
    assert {style["linestyle"] for style in figures.styles_of(["espo", "crpo", "pcrpo"])} == {"-"}
