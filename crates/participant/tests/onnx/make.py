"""Makes the small models of tests/participant/onnx.rs and what they answer. Made once with scikit-learn 1.9, LightGBM 4.7, skl2onnx
1.20 and onnxmltools 1.16; the files are kept beside this one."""

import json
import pathlib

import lightgbm as lgb
import numpy as np
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

here = pathlib.Path(__file__).parent
N = 6
dice = np.random.default_rng(1)
series = 100 + 20 * np.sin(np.arange(600) * 2 * np.pi / 24) + dice.normal(0, 1, 600)
rows = np.array([series[i - N : i] for i in range(N, len(series))], dtype=np.float32)
after = series[N:].astype(np.float32)
step = after - rows[:, -1]
classes = np.where(step > 2, 2, np.where(step < -2, 0, 1))
last = rows[-1:]
known = {}


def keep(name, model, answer):
    (here / f"{name}.onnx").write_bytes(model.SerializeToString())
    known[name] = np.asarray(answer, dtype=float).ravel().tolist()


def light(model):
    return convert_lightgbm(model, initial_types=[("x", FloatTensorType([None, N]))], zipmap=False)


for name, model in {
    "ridge": make_pipeline(StandardScaler(), Ridge()),
    "forest": RandomForestRegressor(n_estimators=3, max_depth=3, random_state=1),
    "network": make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(5,), max_iter=300, random_state=1)),
}.items():
    model.fit(rows, after)
    keep(name, to_onnx(model, rows[:1]), model.predict(last))
for name, model in {
    "forest_classes": RandomForestClassifier(n_estimators=3, max_depth=3, random_state=1),
    "logistic_classes": make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
}.items():
    model.fit(rows, classes)
    keep(name, to_onnx(model, rows[:1], options={"zipmap": False}), model.predict_proba(last))
small = {"n_estimators": 4, "num_leaves": 5, "verbose": -1}
model = lgb.LGBMRegressor(**small).fit(rows, after)
keep("lightgbm", light(model), model.predict(last))
model = lgb.LGBMClassifier(**small).fit(rows, classes)
keep("lightgbm_classes", light(model), model.predict_proba(last))
model = lgb.LGBMClassifier(**small).fit(rows, (classes == 2).astype(int))
keep("lightgbm_two", light(model), model.predict_proba(last))
(here / "expected.json").write_text(json.dumps({"last": last.ravel().tolist(), "answers": known}, indent=1) + "\n")
