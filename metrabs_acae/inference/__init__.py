"""Poses of people in full images, as a TensorFlow module that can be saved and loaded without this package."""


def __getattr__(name):
    # TensorFlow is imported only when the estimator is asked for.
    if name == "PoseEstimator":
        from metrabs_acae.inference.multiperson import PoseEstimator

        return PoseEstimator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
