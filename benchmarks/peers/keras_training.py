"""System 4 by Keras with TensorFlow, float32: FOLDER AB|C SEED EPOCHS-A EPOCHS-B EPOCHS-C.

Written as the notebook is. Runs in an environment of its own, without Cutis (`make bench-peers`).
Prints JSON.
"""

import json
import sys
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

BATCH = 16
LAST = 30


def network(folder: Path, size: int) -> tuple[keras.Model, keras.Model]:
    """The base with the start weights, and the whole classifier."""
    base = keras.applications.MobileNetV2((size, size, 3), include_top=False, weights=None)
    arrays = np.load(folder / "keras.npz")
    for layer in base.layers:
        kept = [arrays[f"{layer.name}/{number}"] for number in range(len(layer.weights))]
        layer.set_weights(kept)
    inputs = keras.Input((size, size, 3))
    hidden = layers.GlobalAveragePooling2D()(base(inputs))
    hidden = layers.Dropout(0.3)(layers.Dense(128, activation="relu")(hidden))
    return base, keras.Model(inputs, layers.Dense(1, activation="sigmoid")(hidden))


def batches(pixels: np.ndarray, labels: np.ndarray, augment: bool = False) -> tf.data.Dataset:
    """Photos in memory in [0, 1], in batches; the next ones are made while one trains."""
    change = keras.Sequential(
        [layers.RandomFlip("horizontal_and_vertical"), layers.RandomRotation(0.5),
         layers.RandomZoom(0.2), layers.RandomTranslation(0.1, 0.1)]
    )  # fmt: skip

    def prepared(photos: tf.Tensor, truth: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        scaled = tf.cast(photos, tf.float32) / 255
        return (change(scaled, training=True) if augment else scaled), truth

    found = tf.data.Dataset.from_tensor_slices((pixels, labels)).batch(BATCH)
    return found.map(prepared, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def fit(
    model: keras.Model, train: tf.data.Dataset, validation: tf.data.Dataset,
    photos: int, epochs: int, rate: float,
) -> dict[str, float]:  # fmt: skip
    """Trains, validates after every epoch, and times both."""
    started = time.perf_counter()
    model.compile(keras.optimizers.Adam(rate), "binary_crossentropy", metrics=["accuracy"])
    history = model.fit(train, validation_data=validation, epochs=epochs, verbose=0)
    seconds = time.perf_counter() - started
    return {
        "seconds": seconds,
        "photos_per_second": photos * epochs / seconds,
        "validation_accuracy": float(history.history["val_accuracy"][-1]),
    }


def main() -> None:
    """Trains the configuration and prints the figures."""
    folder, configuration = Path(sys.argv[1]), sys.argv[2]
    seed, a, b, c = map(int, sys.argv[3:7])
    pixels, labels = np.load(folder / "pixels.npy"), np.load(folder / "labels.npy")
    chosen, judged = np.load(folder / "train.npy"), np.load(folder / "validation.npy")
    keras.utils.set_random_seed(seed)
    order = np.random.default_rng(seed).permutation(chosen)  # once, as the notebook does
    train = batches(pixels[order], labels[order], augment=configuration == "C")
    validation = batches(pixels[judged], labels[judged])
    base, model = network(folder, pixels.shape[1])
    count = len(order)
    figures = {}
    if configuration == "AB":
        base.trainable = False
        figures["A"] = fit(model, train, validation, count, a, 1e-3)
        base.trainable = True
        for layer in base.layers[:-LAST]:
            layer.trainable = False
        figures["B"] = fit(model, train, validation, count, b, 1e-5)
    else:
        for layer in base.layers[:-LAST]:
            layer.trainable = False
        figures["C"] = fit(model, train, validation, count, c, 1e-5)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
