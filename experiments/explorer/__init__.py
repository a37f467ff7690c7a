"""The explorer: one page, without a network, in which one moves through training and cuts the model by hand.

Python gathers what is measured (`data`, `circuit_data`) and what the model in the page needs (`live`, `vocabulary`),
and joins both with the page's own files (`page`). What the page does is in the JavaScript beside, one idea a file;
`main.js` puts it together.
"""
