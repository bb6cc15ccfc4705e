"""How fast the generator draws, and how far colour alone gets on what it draws.

    python benchmarks/synthetic.py --photos 1400 --json synthetic.json

Speed: photos of 300x225 a second on one core, drawing, masks and encoding included, nothing
written. Colour baseline: multinomial logistic regression on standardised colour histograms, five
folds split by lesion, balanced accuracy over all out-of-fold predictions. Two kinds of histogram:
8x8x8 joint bins, and 32 bins for each channel with the channels' means and deviations. Needs
scikit-learn.
"""

import argparse
import json
import time
from pathlib import Path

import cv2
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cutis.data.synthetic import SyntheticSpec, draw_collection


def joint_histogram(photo: np.ndarray) -> np.ndarray:
    """Square roots of the shares of pixels in 8x8x8 bins of red, green and blue."""
    counts = cv2.calcHist([photo], [0, 1, 2], None, [8, 8, 8], [0, 256] * 3).ravel()
    return np.sqrt(counts / counts.sum())


def channel_histograms(photo: np.ndarray) -> np.ndarray:
    """Shares of pixels in 32 bins of each channel, with the channels' means and deviations."""
    bins = [cv2.calcHist([photo], [c], None, [32], [0, 256]).ravel() for c in range(3)]
    pixels = photo.reshape(-1, 3)
    shares = np.sqrt(np.concatenate(bins) / len(pixels))
    return np.concatenate([shares, pixels.mean(0) / 255, pixels.std(0) / 255])


def balanced_accuracy(features: np.ndarray, truth: np.ndarray, lesions: np.ndarray) -> float:
    """Best of three strengths of regularisation, which favours the baseline."""
    scores = []
    for strength in (0.001, 0.01, 0.1):
        model = make_pipeline(
            StandardScaler(),
            LogisticRegression(C=strength, max_iter=500, class_weight="balanced"),
        )
        predicted = cross_val_predict(model, features, truth, groups=lesions, cv=GroupKFold(5))
        scores.append(float(balanced_accuracy_score(truth, predicted)))
    return max(scores)


def main() -> None:
    """Draws, times, fits, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=1400)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    spec = SyntheticSpec(
        photos=options.photos,
        identical_share=0,
        near_share=0,
        wrong_label_share=0,
        corrupt_share=0,
    )
    start = time.process_time()
    drawn = [(row.dx, row.lesion_id, content) for row, content, _ in draw_collection(spec)]
    seconds = time.process_time() - start
    photos = [
        cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
        for _, _, content in drawn
    ]
    truth = np.array([dx for dx, _, _ in drawn])
    lesions = np.array([lesion for _, lesion, _ in drawn])
    figures = {"photos": len(drawn), "photos_per_second": len(drawn) / seconds}
    for name, feature in (("joint", joint_histogram), ("channels", channel_histograms)):
        features = np.stack([feature(photo) for photo in photos])
        figures[f"balanced_accuracy_{name}"] = balanced_accuracy(features, truth, lesions)
    for name, figure in figures.items():
        print(f"{name}: {figure:.3f}" if isinstance(figure, float) else f"{name}: {figure}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
