import json, os, signal, sys, time, shutil, subprocess
from pathlib import Path
sys.path.insert(0,'/work/main')
import flows
from tests.flows.helpers import *
from tests.projects import *
import pytest
def test_term(server, toy):
    (toy/"toy.json").write_text(json.dumps({"manifest@drawn":["sleep"]}))
    server.prefect(toy,"deploy","--all")
    env=server.environment(toy)
    log=open(server.folder/"w.log","ab")
    w=subprocess.Popen([sys.executable,"-m","prefect","worker","start","--pool","foalnet-pool"],cwd=toy,env=env,stdout=log,stderr=log,start_new_session=True)
    server.prefect(toy,"deployment","run","retrain/drawn")
    until((toy/"pids.txt").exists,120,"sleep")
    pids=[int(p) for p in (toy/"pids.txt").read_text().split()]
    how=os.environ["HOW"]
    if how=="TERM": w.terminate()
    else:
        # the machine is switched off: everything dies at once
        for p in subprocess.run(["pgrep","-s",str(w.pid)],capture_output=True,text=True).stdout.split(): os.kill(int(p),9)
        subprocess.run("ps -eo pid,ppid,sid,args | grep -v grep | grep -e %s"%toy.parent.name,shell=True)
        for p in subprocess.run(["pgrep","-f","prefect.engine|flow_engine"],capture_output=True,text=True).stdout.split(): print("engine",p); os.kill(int(p),9)
    t=time.time()
    for i in range(30):
        r=server.runs()[0]
        print(round(time.time()-t), "worker", w.poll(), "alive", [alive(p) for p in pids], r["state"]["type"], r["state"]["message"], flush=True)
        if not any(alive(p) for p in pids) and w.poll() is not None and i>5: break
        time.sleep(1)
    rid=server.runs()[0]["id"]
    with server.worker(toy) as wl:
        server.prefect(toy,"deployment","run","retrain/drawn")
        cancel=os.environ.get("CANCEL")
        for i in range(100):
            print(round(time.time()-t),[(r["name"],r["state"]["name"]) for r in server.runs()],flush=True)
            if i==6 and cancel: print(server.prefect(toy,"flow-run","cancel",rid,check=False))
            if any(r["state"]["type"]=="COMPLETED" for r in server.runs()): break
            time.sleep(5)
        print(wl.read_text()[-1500:])
