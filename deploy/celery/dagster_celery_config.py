"""Settings of the Celery workers. ``dagster_celery.app`` imports this module by its name, so its
folder must be on the worker's ``PYTHONPATH``."""

import os

broker_url = os.environ["CELERY_BROKER_URL"]
result_backend = os.environ["CELERY_RESULT_BACKEND"]

# Loaded once, before the worker forks: a run then costs 0.3 CPU-seconds to start instead of 3.
imports = ("lerobot_pipelines.definitions", "pandas", "pyarrow.parquet", "av")

# A worker takes a run only when a process is free for it. Otherwise each holds one more in
# reserve, which waits behind a long encoding while another machine has nothing to do.
worker_disable_prefetch = True
# Forgets what leaked. The new process is forked from the warm one, so it costs little.
worker_max_tasks_per_child = 200

# Keeps the name of the worker with each finished run.
result_extended = True
result_expires = 7 * 24 * 3600

# Redis may start later than the workers, and may be restarted.
broker_connection_retry_on_startup = True
broker_connection_max_retries = None
