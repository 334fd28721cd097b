"""A stand-in of Grafana for the lab, where the product's archive is not to be had."""
