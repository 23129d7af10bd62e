"""The sample data sets: what they are, where they come from, how their content is verified."""

from __future__ import annotations

from dataclasses import dataclass

from trainwell.data.dataset import Kind


@dataclass(frozen=True)
class Sample:
    """One sample set.

    files: paths below the data folder ($TRAINWELL_DATA or the cache); empty = in scikit-learn.
    urls: where the original is fetched from; empty = has to be put there by hand.
    sha256: one content checksum per file, of what is inside and not of the compressed bytes,
        which differ from mirror to mirror (see download.py for how each is counted).
    test_rows: the last so many rows are the official test part; official_test says it in words.
    """

    name: str
    kind: Kind
    what: str
    rows: int
    classes: int
    licence: str
    source: str
    size_mb: float
    official_test: str = ""
    test_rows: int = 0
    target: str = ""
    files: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    sha256: tuple[str, ...] = ()


IDX_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist"
FASHION_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
UCI_URL = "https://archive.ics.uci.edu/ml/machine-learning-databases"
FSDD_URL = (
    "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/heads/master.tar.gz"
)
FSDD_SPEAKERS = ("jackson", "nicolas", "theo", "yweweler")
FASHION_CLASSES = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
# Column names of tables that their source publishes without a header line.
LETTER_COLUMNS = (
    *("x.box", "y.box", "width", "high", "onpix", "x.bar", "y.bar", "x2bar", "y2bar", "xybar"),
    *("x2ybr", "xy2br", "x.ege", "xegvy", "y.ege", "yegvx", "lettr"),
)
SATELLITE_COLUMNS = (*(f"x.{i}" for i in range(1, 37)), "classes")
SATELLITE_CLASSES = (
    *(("1", "red soil"), ("2", "cotton crop"), ("3", "grey soil"), ("4", "damp grey soil")),
    *(("5", "vegetation stubble"), ("7", "very damp grey soil")),
)

_SKLEARN = "scikit-learn, where it is embedded (UCI Machine Learning Repository)"
_UCI = "UCI Machine Learning Repository"
_UCI_LICENCE = "CC BY 4.0 (UCI)"
_BY_HAND = "no download, its file has to be put there by hand"

SAMPLES = (
    Sample(
        "iris", "table", "four lengths of iris flowers", 150, 3, _UCI_LICENCE, _SKLEARN, 0.0,
    ),
    Sample(
        "wine", "table", "chemistry of wines of three growers", 178, 3, _UCI_LICENCE, _SKLEARN, 0.0,
    ),
    Sample(
        "breast_cancer", "table", "cell nuclei of breast tumours", 569, 2, _UCI_LICENCE, _SKLEARN,
        0.1,
    ),
    Sample(
        "digits", "images", "hand-written digits, 8 × 8", 1797, 10, _UCI_LICENCE, _SKLEARN, 0.1,
    ),
    Sample(
        "mnist", "images", "hand-written digits, 28 × 28", 70000, 10, "none stated",
        "Yann LeCun, Corinna Cortes, Christopher J. C. Burges", 11.0,
        official_test="the 10000 pictures of the t10k files",
        test_rows=10000,
        files=tuple(f"mnist/{f}" for f in IDX_FILES),
        urls=tuple(f"{MNIST_URL}/{f}" for f in IDX_FILES),
        sha256=(
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
    Sample(
        "fashion_mnist", "images", "pictures of clothes, 28 × 28", 70000, 10, "MIT",
        "Han Xiao, Kashif Rasul, Roland Vollgraf (Zalando SE)", 30.0,
        official_test="the 10000 pictures of the t10k files",
        test_rows=10000,
        files=tuple(f"fashion-mnist/{f}" for f in IDX_FILES),
        urls=tuple(f"{FASHION_URL}/{f}" for f in IDX_FILES),
        sha256=(
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    ),
    Sample(
        "letter", "table", "16 features of pictures of letters", 20000, 26, _UCI_LICENCE,
        f"David J. Slate; {_UCI}", 0.7,
        official_test="the last 4000 rows",
        test_rows=4000,
        target="lettr",
        files=("letter.csv.gz",),
        urls=(f"{UCI_URL}/letter-recognition/letter-recognition.data",),
        sha256=("7d2d970dc435c6b788c71821b655157913f890675ebf04eaa581885b7c57de4d",),
    ),
    Sample(
        "shuttle", "table", f"nine sensors of the space shuttle ({_BY_HAND})", 58000, 7,
        _UCI_LICENCE, f"NASA, Statlog project; {_UCI}", 0.4,
        official_test="the last 14500 rows",
        test_rows=14500,
        target="Class",
        files=("shuttle.csv.gz",),
        sha256=("94210cc2101d08fb1a5221642ab898f3e06389889f4fd052ca72066e7a9aa3f5",),
    ),
    Sample(
        "satellite", "table", "3 × 3 pixels of a Landsat picture in 4 bands", 6435, 6,
        _UCI_LICENCE, f"Ashwin Srinivasan, Statlog project; {_UCI}", 0.8,
        official_test="the last 2000 rows",
        test_rows=2000,
        target="classes",
        files=("satellite.csv.gz",),
        urls=(f"{UCI_URL}/statlog/satimage/sat.trn", f"{UCI_URL}/statlog/satimage/sat.tst"),
        sha256=("10ee0894dbc153f92bee923058925c682bc62dea43ab4c5b83f79b3524f47586",),
    ),
    Sample(
        "credit", "table", f"credit applications, with words and missing cells ({_BY_HAND})",
        4454, 2, "MIT",
        "Lluis A. Belanche Munoz, Gaston Sanchez; R package modeldata", 0.1,
        target="Status",
        files=("credit.csv.gz",),
        sha256=("17ebdd9c3777c61658c00f0394559b679065dfa0fdf328abc8d37814068fb129",),
    ),
    Sample(
        "fsdd", "audio", "spoken digits of four speakers, 8 kHz", 2000, 10, "CC BY-SA 4.0",
        "Zohar Jackson and others, Free Spoken Digit Dataset", 16.0,
        files=("fsdd/fsdd-4-speakers.tar.gz",),
        urls=(FSDD_URL,),
        sha256=("a6230f4879b35101dbc0a1484a1bf3bc4b4db9d5c1daff78f556a92bd585db43",),
    ),
)  # fmt: skip


def sample_names() -> tuple[str, ...]:
    """Names of the sample sets, in the order of the list."""
    return tuple(sample.name for sample in SAMPLES)


def find_sample(name: str) -> Sample | None:
    """The sample called `name`; `-` and `_` are the same and case does not matter.

    >>> find_sample("Fashion-MNIST").name
    'fashion_mnist'
    """
    wanted = name.lower().replace("-", "_")
    return next((sample for sample in SAMPLES if sample.name == wanted), None)
