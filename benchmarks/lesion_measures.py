"""Measures of lesions by diagnosis, how well they agree with PH2's dermatologists, and how fast.

    python benchmarks/lesion_measures.py FOLDER… --photos 50 --json measures.json

Every folder is read as `cutis import` reads it and must bring masks; `--photos` of each source
label are drawn by seed 0. Where `PH2_dataset.xlsx` lies in a folder, its marks of colours and
asymmetry are compared with the measures. Times are processor time, photo and mask being decoded.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from cutis.data.sources import read_source
from cutis.metrics.lesion_colours import COLOURS, PRESENT
from cutis.metrics.lesion_measures import measure_lesion
from cutis.preprocessing import decode

MARKS = dict(
    zip(COLOURS, ("White", "Red", "Light-Brown", "Dark-Brown", "Blue-Gray", "Black"), strict=True)
)
MEANS = [*COLOURS, "colours", "touches_frame"]  # of the others the median is shown


def measured(path: Path, mask: Path) -> dict[str, float]:
    """One photo's measures as a flat row, and the milliseconds that they took."""
    photo, lesion = decode(path), decode(mask)[..., 0] > 127
    start = time.process_time()
    found = measure_lesion(photo, lesion)
    milliseconds = 1000 * (time.process_time() - start)
    if found is None:
        return {"milliseconds": milliseconds}
    return {
        "milliseconds": milliseconds,
        "area_share": found.area_share,
        "asymmetry_less": found.asymmetry[0],
        "asymmetry_more": found.asymmetry[1],
        "compactness": found.compactness,
        "solidity": found.solidity,
        "colours": len(found.colours.present),
        "colour_spread": found.colours.spread,
        "longest_diameter": found.longest_diameter,
        "equal_area_diameter": found.equal_area_diameter,
        "touches_frame": float(found.touches_frame),
        **found.colours.shares,
    }


def measure_folder(folder: Path, photos: int) -> pd.DataFrame:
    """A row for each drawn photo, with its file's stem and source label."""
    table = read_source(folder)
    rows = table.rows.dropna(subset=["path", "mask"])
    chosen = rows.groupby("source_label").sample(frac=1, random_state=0)
    chosen = chosen.groupby("source_label").head(photos)
    return pd.DataFrame(
        {
            "name": Path(row.path).stem,
            "label": row.source_label,
            **measured(table.root / row.path, table.root / row.mask),
        }
        for row in chosen.itertuples()
    )


def agreement(measures: pd.DataFrame, workbook: Path) -> dict[str, dict[str, float]]:
    """The measures against what the dermatologists of PH2 marked."""
    marks = pd.read_excel(workbook, header=12)
    marks.columns = [str(title).split("\n")[0].strip() for title in marks.columns]
    marks["name"] = marks["Image Name"].str.strip()
    both = measures.merge(marks, on="name", validate="one_to_one")
    found = {}
    marked_colours, present_colours = np.zeros(len(both)), np.zeros(len(both))
    for colour, title in MARKS.items():
        marked, present = both[title].notna(), both[colour] >= PRESENT
        marked_colours, present_colours = marked_colours + marked, present_colours + present
        found[colour] = {
            "marked": float(marked.sum()),
            "found": float(present.sum()),
            "sensitivity": float(present[marked].mean()),
            "specificity": float(1 - present[~marked].mean()),
        }
    apart = (marked_colours - present_colours).abs()
    found["number of colours"] = {
        "rank correlation": float(stats.spearmanr(marked_colours, present_colours)[0]),
        "equal": float((apart == 0).mean()),
        "at most one apart": float((apart <= 1).mean()),
    }
    for name in ("asymmetry_less", "asymmetry_more", "compactness"):
        correlation = float(stats.spearmanr(both[name], both["Asymmetry"])[0])
        found[f"{name} with asymmetry"] = {"rank correlation": correlation}
    return found


def main() -> None:
    """Reads, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--photos", type=int, default=50, help="of each source label")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures = {}
    for folder in options.folders:
        measures = measure_folder(folder, options.photos)
        values = measures.drop(columns=["name"])
        for colour in COLOURS:
            values[colour] = values[colour] >= PRESENT
        medians = values.drop(columns=MEANS).groupby("label").median()
        shares = values.groupby("label")[MEANS].mean()
        by_label = medians.join(shares).assign(photos=values.groupby("label").size())
        print(f"{folder.name}, medians, but of {', '.join(MEANS)} the mean:")
        print(by_label.T.round(3).to_string())
        print(f"milliseconds: {measures.milliseconds.quantile([0.5, 0.95]).round(1).tolist()}")
        figures[folder.name] = by_label.to_dict("index")
        workbook = folder / "PH2_dataset.xlsx"
        if workbook.is_file():
            figures[f"{folder.name} agreement"] = agreement(measures, workbook)
            for name, scores in figures[f"{folder.name} agreement"].items():
                print(f"  {name}:", ", ".join(f"{k} {v:.2f}" for k, v in scores.items()))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
