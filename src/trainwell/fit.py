"""The main job: from labelled data to a trained, honestly measured classifier.

read → look → split → baselines → learning rate → train → out-of-fold scores → open the sealed
test part once → write the run folder, the model and the report.
"""

from __future__ import annotations

import dataclasses
import math
import platform
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import trainwell
from trainwell import model as models
from trainwell import stats
from trainwell.baselines import Baseline, baselines
from trainwell.budget import Budget, Size, epochs_within, plan_size
from trainwell.data.dataset import Dataset, Kind
from trainwell.data.facts import facts
from trainwell.data.read import read
from trainwell.data.split import Fold, Split, make_split, sample_rows
from trainwell.engine.inputs import FoldInputs, fit_preprocess
from trainwell.engine.ladder import Ladder, climb
from trainwell.engine.population import Member, Population, Trained, plan
from trainwell.engine.threads import choose_threads, cores
from trainwell.engine.train import EpochScore, train
from trainwell.errors import Interrupted, TrainwellError, UserError
from trainwell.progress import Progress
from trainwell.recipe import (
    Recipe,
    check_against,
    edit,
    fields_as_text,
    load_recipe,
    starting_recipe,
    to_toml,
)
from trainwell.report.page import write_report
from trainwell.run import Run, new_folder, write_history, write_json
from trainwell.seeding import stream_seed
from trainwell.techniques.models.cnn import Cnn
