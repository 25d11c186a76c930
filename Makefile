# Thin names for what gptcore/tools/bootstrap.py does; on a machine without make, call that.
PYTHON ?= python3

lab: ## open JupyterLab on the first notebook
	$(PYTHON) gptcore/tools/bootstrap.py lab $(ARGS)

test: ## run all tests
	$(PYTHON) gptcore/tools/bootstrap.py test $(ARGS)

outputs: ## execute all notebooks on clean kernels and save their outputs
	$(PYTHON) gptcore/tools/bootstrap.py outputs $(ARGS)

bench: ## measure what notebooks, explorers and gptcore take
	$(PYTHON) gptcore/tools/bootstrap.py bench $(ARGS)

teach: ## add what a teacher needs: nbgrader and JupyterHub
	$(PYTHON) gptcore/tools/bootstrap.py teach $(ARGS)

slides: ## write a slide deck of each notebook into slides/; ARGS=02_layer_norm for one of them
	$(PYTHON) gptcore/tools/bootstrap.py slides $(ARGS)

site: ## make the web site, in _site
	$(PYTHON) gptcore/tools/bootstrap.py site $(ARGS)

doors: ## write the project's address into links and set-up cells; ARGS=NAME/REPOSITORY for another one
	$(PYTHON) gptcore/tools/bootstrap.py doors $(ARGS)

.PHONY: lab test outputs bench teach slides site doors
