# Runs in several local processes: one run a dict, then one run an element of a list.
import revoscalepy as rp
from revoscalepy import RxLocalParallel, rx_exec, rx_get_compute_context, rx_set_compute_context


def grow(height, formula, n_tree=1):
    return f"{formula} {height * n_tree}"


before = rx_set_compute_context(RxLocalParallel())
print(rx_exec(grow, args=[{"height": 2, "formula": "a ~ b"}, {"height": 5, "formula": "a ~ c"}]))
print(rx_exec(grow, height=10, formula="y ~ x", n_tree=[3, 5, 7]))
rx_set_compute_context(before)
print(type(rx_get_compute_context()).__name__, rp.__version__)
