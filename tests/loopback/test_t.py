from tests.loopback.test_daemon_goes import *
import time
pytestmark=[]
async def test_t():
    t=time.monotonic()
    def p(x): print(x, round(time.monotonic()-t,2))
    async with Backend() as backend, two_daemons(backend) as (stack, other), Client(stack.address) as client:
        p("up")
        results=[]; stopped=asyncio.Event()
        async def call_on():
            while not stopped.is_set():
                results.append(await outcome(client.unary(ECHO)))
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            for _ in range(4): group.create_task(call_on())
            await asyncio.sleep(0.3)
            p("term"); print(len(results))
            assert await other.signal(signal.SIGTERM) == 0
            p("gone"); print(len(results))
            await asyncio.sleep(0.3)
            stopped.set()
        p("done")
        print(other.log); print(stack.log("proxy"))
    p("exit")
