"The services by their public names; each is imported when it is first asked for."
from importlib import import_module
from typing import Any

_HOMES = {
    'AdapterAnalytics': 'services.analytics', 'AdapterMetrics': 'services.metrics', 'get_analytics': 'services.analytics',
    'ABTestingFramework': 'services.ab_testing', 'ABExperiment': 'services.experiment', 'Variant': 'services.assignment', 'get_ab_framework': 'services.ab_testing',
    'ActiveLearningSelector': 'services.active_learning', 'UncertaintyMethod': 'services.candidates', 'get_selector': 'services.active_learning',
    'RealtimeCompositor': 'adapters.compositor', 'CompositionCache': 'adapters.cache', 'get_compositor': 'adapters.compositor',
}
__all__ = ['AdapterAnalytics', 'AdapterMetrics', 'get_analytics', 'ABTestingFramework', 'ABExperiment', 'Variant', 'get_ab_framework', 'ActiveLearningSelector', 'UncertaintyMethod', 'get_selector', 'RealtimeCompositor', 'CompositionCache', 'get_compositor']

def __getattr__(name:str) -> Any:
    if name in _HOMES: return getattr(import_module(f'rmn_lora.{_HOMES[name]}'), name)
    raise AttributeError(f'rmn_lora.services has no {name}; it has {", ".join(_HOMES)}.')

def __dir__() -> list[str]: return __all__
