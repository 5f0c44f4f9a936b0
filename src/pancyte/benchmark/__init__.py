"""Methods against tasks on datasets, beside baselines, with intervals and a verdict."""
