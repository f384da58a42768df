"""Run configurations: frozen, validated, read from YAML; an unknown key is an error that names it."""

from wsiamf.config.clusters import SlurmConfig
from wsiamf.config.files import (
    configs_folder,
    find_config,
    load_cluster_config,
    load_train_config,
    parse_train_config,
)
from wsiamf.config.screening import ScreenOptions, parse_screen_options
from wsiamf.config.training import (
    AugmentConfig,
    BackboneArgs,
    CrossvalConfig,
    DataConfig,
    DistilConfig,
    FitConfig,
    FocalConfig,
    FrozenBackboneConfig,
    InputConfig,
    LossConfig,
    NetworkConfig,
    RangeConfig,
    SetConfig,
    SplitConfig,
    TeacherConfig,
    TrainConfig,
    TuneConfig,
)

__all__ = [
    "AugmentConfig",
    "BackboneArgs",
    "CrossvalConfig",
    "DataConfig",
    "DistilConfig",
    "FitConfig",
    "FocalConfig",
    "FrozenBackboneConfig",
    "InputConfig",
    "LossConfig",
    "NetworkConfig",
    "RangeConfig",
    "ScreenOptions",
    "SetConfig",
    "SlurmConfig",
    "SplitConfig",
    "TeacherConfig",
    "TrainConfig",
    "TuneConfig",
    "configs_folder",
    "find_config",
    "load_cluster_config",
    "load_train_config",
    "parse_screen_options",
    "parse_train_config",
]
