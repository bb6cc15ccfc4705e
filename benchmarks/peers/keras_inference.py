"""MobileNetV2 by TensorFlow: SIZE PHOTOS THREADS SINGLES keras|tflite|tflite-int8; prints JSON.

`keras` is `predict` of Keras on a tf.data pipeline that reads, decodes and resizes as
`image_dataset_from_directory` does; `tflite` the interpreter, photo by photo. The network is of
keras.applications with random weights and seven answers. Runs in an environment of its own,
without Cutis (`make bench-peers`).
"""

import sys
from pathlib import Path

from timing import pin, report

size, folder, threads, singles, kind = sys.argv[1:]
pin(int(threads))

import keras  # noqa: E402  # the libraries count processors
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

SIDE, BATCH = int(size), 32
tf.config.threading.set_intra_op_parallelism_threads(int(threads))
tf.config.threading.set_inter_op_parallelism_threads(int(threads))
model = keras.applications.MobileNetV2((SIDE, SIDE, 3), weights=None, classes=7)


def read(path: tf.Tensor) -> tf.Tensor:
    """A photo's pixels in [-1, 1]."""
    decoded = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
    return tf.image.resize(decoded, (SIDE, SIDE)) / 127.5 - 1


def predicted(photos: list[Path]) -> int:
    """The number of photos that Keras has answered."""
    paths = tf.data.Dataset.from_tensor_slices([str(photo) for photo in photos])
    batches = paths.map(read, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH)
    return len(model.predict(batches.prefetch(tf.data.AUTOTUNE), verbose=0))


def converted(quantised: bool) -> bytes:
    """The network as a tflite file."""
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if quantised:
        rng = np.random.default_rng(0)
        some = rng.uniform(-1, 1, (16, 1, SIDE, SIDE, 3)).astype(np.float32)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([photo] for photo in some)
    return converter.convert()


if kind == "keras":

    def one(photo: Path) -> object:
        """The probabilities of one photo."""
        return model(read(str(photo))[None], training=False).numpy()

    many = predicted
else:
    content = converted(kind == "tflite-int8")
    interpreter = tf.lite.Interpreter(model_content=content, num_threads=int(threads))
    interpreter.allocate_tensors()
    inlet = interpreter.get_input_details()[0]["index"]
    outlet = interpreter.get_output_details()[0]["index"]

    def one(photo: Path) -> object:
        """The probabilities of one photo."""
        interpreter.set_tensor(inlet, read(str(photo)).numpy()[None])
        interpreter.invoke()
        return interpreter.get_tensor(outlet)

    def many(photos: list[Path]) -> int:
        """The number of photos answered, one after the other."""
        return sum(len(one(photo)) for photo in photos)


report(sorted(Path(folder).iterdir()), int(singles), one, many)
